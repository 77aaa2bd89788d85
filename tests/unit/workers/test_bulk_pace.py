"""How many rows a call has: as many as a server does in a moment, learned from the calls before."""

from mlhub.workers.bulkpace import BulkPace


def test_a_quick_model_soon_gets_large_calls() -> None:
    pace = BulkPace()
    seen = [pace.rows("d")]
    for _ in range(5):
        pace.took("d", seen[-1], seen[-1] * 1e-6)
        seen.append(pace.rows("d"))
    assert seen == sorted(seen)
    assert seen[-1] == seen[-2] == 16_384


def test_a_slow_model_gets_small_calls_and_at_least_a_row() -> None:
    pace = BulkPace()
    pace.took("d", pace.rows("d"), pace.rows("d") * 0.01)
    assert pace.rows("d") == 25
    pace.took("d", 25, 25 * 10.0)
    assert pace.rows("d") == 1
    assert pace.rows("other") == 256


def test_a_call_that_was_never_answered_is_followed_by_smaller_ones() -> None:
    pace = BulkPace()
    pace.slower("d")
    assert pace.rows("d") == 16
    for _ in range(3):
        pace.slower("d")
    assert pace.rows("d") == 1


def test_the_few_rows_at_the_end_of_a_chunk_say_nothing_of_full_calls() -> None:
    pace = BulkPace()
    pace.took("d", 256, 0.001)
    full = pace.rows("d")
    pace.took("d", 3, 0.0001)
    assert pace.rows("d") == full
    pace.took("d", 3, 1.0)
    assert pace.rows("d") == 1


def test_a_brief_call_has_a_part_of_the_rows_and_tells_of_full_ones() -> None:
    pace = BulkPace()
    pace.took("d", 256, 0.0256)
    assert pace.rows("d") == 2500
    assert pace.rows("d", brief=True) == 1000
    pace.took("d", 1000, 0.1, brief=True)
    assert pace.rows("d") == 2500
    pace.took("d", 1000, 1.0, brief=True)
    assert pace.rows("d") == 250
    pace.took("d", 100, 60.0, brief=True)
    assert pace.rows("d", brief=True) == 1


def test_brief_calls_of_a_quick_model_grow_as_well() -> None:
    pace = BulkPace()
    for _ in range(5):
        rows = pace.rows("d", brief=True)
        pace.took("d", rows, rows * 1e-6, brief=True)
    assert pace.rows("d") == 16_384
