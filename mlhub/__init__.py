"""MLHub: one REST API in front of many kinds of model server."""

__version__ = "0.2.0"
