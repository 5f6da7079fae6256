"""The command line: one command, one file; one error boundary, in main.py."""
