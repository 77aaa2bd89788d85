"""Programs that the benchmarks start: contestants' servers, and what stands in for parts of the hub."""
