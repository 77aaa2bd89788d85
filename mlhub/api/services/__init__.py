"""Services: what the calls of the API mean, without HTTP."""
