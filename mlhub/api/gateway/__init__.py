"""The gateway between the event loop and RabbitMQ: many requests, one message."""
