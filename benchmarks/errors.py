"""What ends a benchmark with one sentence."""


class BenchmarkError(Exception):
    """It cannot go on; the sentence says why, and what to do."""
