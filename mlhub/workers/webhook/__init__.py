"""Webhooks: called when predictions have ended, as often as it takes."""
