"""Validation of uploaded versions: a pipeline of steps, each written down in the version's record."""
