"""What a person uses: the commands, the command line, and what is printed."""
