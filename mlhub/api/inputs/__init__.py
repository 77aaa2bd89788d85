"""The forms in which the input of a prediction may come."""
