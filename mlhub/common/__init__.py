"""What every part shares: records, errors, settings, tensors and the names of the wire."""
