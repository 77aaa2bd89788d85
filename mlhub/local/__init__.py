"""Everything on one machine: `mlhub up` and `mlhub down`."""
