"""A model computes on the event loop only while it is quick."""

from mlhub.servers.pace import Pace, Stopwatch, Taken

QUICK = Taken(computing=0.0002, passing=0.0003)
SLOW = Taken(computing=0.05, passing=0.05)
ASLEEP = Taken(computing=0.0001, passing=0.5)
PUSHED_ASIDE = Taken(computing=0.0002, passing=0.008)


def paced(*taken: Taken, size: int = 100) -> Pace:
    pace = Pace()
    for one in taken:
        pace.took(one, size)
    return pace


def test_a_new_model_is_not_trusted_before_several_quick_predictions() -> None:
    assert not paced().allows(100)
    assert not paced(*[QUICK] * 7).allows(100)
    assert paced(*[QUICK] * 8).allows(100)


def test_a_busy_machine_does_not_make_a_model_slow() -> None:
    assert paced(*[PUSHED_ASIDE] * 8).allows(100)


def test_a_request_larger_than_those_that_were_quick_is_not_trusted() -> None:
    pace = paced(*[QUICK] * 8)
    assert pace.allows(99)
    assert not pace.allows(101)
    pace.took(QUICK, 1000)
    assert pace.allows(1000)


def test_one_slow_prediction_ends_the_trust_and_makes_the_next_trial_longer() -> None:
    for slow in (SLOW, ASLEEP):
        pace = paced(*[QUICK] * 8, slow)
        assert not pace.allows(100)
        for _ in range(15):
            pace.took(QUICK, 100)
        assert not pace.allows(100)
        pace.took(QUICK, 100)
        assert pace.allows(100)


def test_slow_predictions_of_a_model_that_was_never_trusted_change_nothing() -> None:
    assert paced(*[SLOW] * 50, *[QUICK] * 8).allows(100)


def test_trust_can_be_won_again_however_often_it_was_lost() -> None:
    pace = paced()
    for _ in range(20):
        for _ in range(1024):
            pace.took(QUICK, 100)
        assert pace.allows(100)
        pace.took(SLOW, 100)


def test_a_stopwatch_tells_computing_from_waiting() -> None:
    taken = Stopwatch().read()
    assert taken.computing >= 0
    assert taken.passing >= 0
