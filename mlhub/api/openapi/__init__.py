"""`/openapi.json`: all calls of the hub, for programs."""
