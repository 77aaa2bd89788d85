"""Scaling: pools get the processes they should have, on one machine or on Kubernetes."""
