"""The models in memory are bounded, and what was used least recently goes first."""

from mlhub.servers.cache import ModelCache

A, B, C = ("a", "1"), ("b", "1"), ("c", "1")


def test_what_was_used_least_recently_makes_room() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.put(A, "a", 40)
    cache.put(B, "b", 40)
    cache.get(A)
    assert cache.put(C, "c", 40) == [B]
    assert [key for key, _ in cache.items()] == [A, C]
    assert cache.used == 80


def test_as_many_go_as_it_takes() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.put(A, "a", 50)
    cache.put(B, "b", 50)
    assert cache.put(C, "c", 100) == [A, B]


def test_a_value_is_never_evicted_for_itself() -> None:
    cache: ModelCache[str] = ModelCache(10)
    assert cache.put(A, "a", 100) == []
    assert cache.get(A) == "a"


def test_room_is_made_before_a_value_comes() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.put(A, "a", 60)
    assert cache.make_room(B, 60) == [A]
    assert cache.get(B) is None
    assert cache.used == 60


def test_room_kept_for_one_value_is_not_given_to_another() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.make_room(A, 60)
    cache.put(B, "b", 30)
    assert cache.put(C, "c", 30) == [B]
    assert cache.used == 90


def test_room_for_a_value_that_did_not_come_is_given_up() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.make_room(A, 60)
    cache.release(A)
    assert cache.used == 0


def test_release_leaves_a_value_that_came() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.make_room(A, 60)
    cache.put(A, "a", 50)
    cache.release(A)
    assert cache.get(A) == "a"
    assert cache.used == 50


def test_discard_spares_what_took_a_values_place() -> None:
    cache: ModelCache[str] = ModelCache(100)
    cache.put(A, "old", 10)
    cache.put(A, "new", 20)
    assert not cache.discard(A, "old")
    assert cache.used == 20
    assert cache.discard(A, "new")
    assert cache.get(A) is None
    assert cache.used == 0
