"""Checks of uploaded bundles: the archive, and what it holds."""
