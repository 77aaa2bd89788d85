"""Resources: each parses a request, makes one call and renders the answer."""
