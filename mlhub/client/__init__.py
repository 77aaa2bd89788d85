"""The Python client and the command line on top of it."""
