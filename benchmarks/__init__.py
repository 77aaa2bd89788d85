"""What the figures of the documentation come from; each module is a script."""
