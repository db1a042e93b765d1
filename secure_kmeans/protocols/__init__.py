"""The protocols of the papers, one module each."""
