"""The commands, the command line, and what is printed."""
