"""The records of MongoDB and the bundles: the only place that knows how they are kept."""
