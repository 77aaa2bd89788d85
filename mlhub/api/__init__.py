"""The REST API: a Falcon ASGI application with the gateway to the predict pools."""
