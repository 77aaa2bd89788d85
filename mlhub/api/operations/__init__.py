"""What operators see of the hub and do with it."""
