"""What is compared: one module each, with how it is started and asked."""
