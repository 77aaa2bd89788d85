"""How long the pages of a long list of models take, on the embedded database.

    python -m benchmarks.search [--entries 100000] [--rounds 200] [--data FOLDER]

With `--data` the database stays in that folder, and measuring again needs no loading.
Entries have names, words, tags and owners as unevenly spread as real ones. Times are those of one call of
the store, from a client of the database, without HTTP.
"""

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

from mlhub.common.model import Model, ModelState, ModelType
from mlhub.local.database import EmbeddedDatabase
from mlhub.storage.database import connect, now
from mlhub.storage.indexer import Indexer
from mlhub.storage.models import ModelStore, document_of
from mlhub.storage.search import MARKED
from mlhub.storage.terms import ModelFilter

_LIMIT: Final = 20
_AT_ONCE: Final = 100
"""Entries kept in one call."""
_UPKEEP: Final = 1000
"""Entries kept between two looks at the index, as many as an import brings in a few seconds."""
_TYPES: Final = list(ModelType)
_DISCIPLINES: Final = [
    "high energy physics", "astronomy", "genomics", "chemistry", "climate", "medicine", "materials",
    "linguistics", "seismology", "ecology", "neuroscience", "economics",
]  # fmt: skip
_BEGINNINGS: Final = tuple("bcdfghjklmnpqrstvwxyz")
_ENDS: Final = ("a", "e", "i", "o", "u", "an", "er", "is", "on", "ut")


class Corpus:
    """Made-up entries, the same ones for the same seed."""

    def __init__(self, entries: int) -> None:
        self._chance = random.Random(7)  # noqa: S311 (nothing is guarded by it)
        self._entries = entries
        made = {self._made_up(self._chance.randint(2, 4)) for _ in range(20_000)}
        self.words = sorted(made)
        self._chance.shuffle(self.words)
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(len(self.words))))
        self.tags = self.words[50:350]
        self.owners = [f"group{number}" for number in range(400)]

    def models(self) -> Iterator[Model]:
        """Yield the entries."""
        start = now() - timedelta(days=700)
        for number in range(self._entries):
            moment = start + timedelta(seconds=number * 60 * 10)
            yield Model(
                model=f"{self.word()}-{self.word()}-{number}",
                type=self._chance.choices(_TYPES, [20, 40, 15, 25])[0],
                backend="b",
                created_at=moment,
                updated_at=moment + timedelta(seconds=self._chance.random() * 1e6),
                description=" ".join(self.word() for _ in range(15)),
                discipline=self._chance.choices(_DISCIPLINES, range(12, 0, -1))[0],
                tags=tuple({self._skewed(self.tags) for _ in range(3)}),
                owner=self._skewed(self.owners),
                reference=f"10.5281/zenodo.{number // 3}",
                state=self._chance.choices(list(ModelState), [5, 1, 90, 4])[0],
            )

    def _made_up(self, syllables: int) -> str:
        return "".join(
            self._chance.choice(_BEGINNINGS) + self._chance.choice(_ENDS) for _ in range(syllables)
        )

    def word(self) -> str:
        """Return a word, common ones often."""
        return self._chance.choices(self.words, cum_weights=self._weights)[0]

    def _skewed(self, values: list[str]) -> str:
        return values[min(int(self._chance.expovariate(6 / len(values))), len(values) - 1)]

    def kinds(self) -> dict[str, Callable[[], tuple[ModelFilter, str]]]:
        """Return the kinds of query, each making a new one."""
        chance = self._chance

        def by_state() -> ModelFilter:
            return ModelFilter(state=chance.choice(list(ModelState)))

        def by_reference() -> ModelFilter:
            return ModelFilter(reference=f"10.5281/zenodo.{chance.randint(0, 30_000)}")

        return {
            "no filter": lambda: (ModelFilter(), "name"),
            "newest first": lambda: (ModelFilter(), "-updated_at"),
            "type": lambda: (ModelFilter(type=chance.choice(_TYPES)), "name"),
            "type, newest first": lambda: (ModelFilter(type=chance.choice(_TYPES)), "-updated_at"),
            "discipline": lambda: (ModelFilter(discipline=chance.choice(_DISCIPLINES)), "name"),
            "state": lambda: (by_state(), "name"),
            "owner": lambda: (ModelFilter(owner=chance.choice(self.owners)), "name"),
            "owner, newest first": lambda: (ModelFilter(owner=chance.choice(self.owners)), "-updated_at"),
            "tag": lambda: (ModelFilter(tag=chance.choice(self.tags)), "-updated_at"),
            "reference": lambda: (by_reference(), "name"),
            "one word": lambda: (ModelFilter(q=self.word()), "name"),
            "one word, newest first": lambda: (ModelFilter(q=self.word()), "-updated_at"),
            "beginning of a word": lambda: (ModelFilter(q=self.word()[: chance.randint(1, 5)]), "name"),
            "two words": lambda: (ModelFilter(q=f"{self.word()} {self.word()}"), "name"),
            "word and type": lambda: (ModelFilter(q=self.word(), type=chance.choice(_TYPES)), "name"),
            "word, type, state, discipline": lambda: (
                ModelFilter(
                    q=self.word(),
                    type=chance.choice(_TYPES),
                    state=ModelState.READY,
                    discipline=chance.choice(_DISCIPLINES),
                ),
                "-updated_at",
            ),
            "no match": lambda: (ModelFilter(q="nosuchword"), "name"),
        }


@contextmanager
def store(folder: Path) -> Iterator[ModelStore]:
    """Give a store in an embedded database, started as `mlhub up` does."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    server = EmbeddedDatabase(folder / "database", port)
    program = server.program()
    with subprocess.Popen(program.arguments, env=os.environ | program.environment) as process:
        database = connect(server.url, "mlhub")
        try:
            _await(port)
            yield ModelStore(database)
        finally:
            database.client.close()
            process.terminate()
            process.wait()


def fill(models: ModelStore, corpus: Corpus) -> None:
    """Keep all entries of a corpus, and index them as a hub does while it runs."""
    indexer = Indexer(models.entries.database, models)
    documents = (document_of(model) | {"shown": "[]"} for model in corpus.models())
    kept = 0
    while batch := list(islice(documents, _AT_ONCE)):
        models.entries.insert_many(batch, ordered=False)
        kept += len(batch)
        if kept % _UPKEEP == 0:
            indexer.run()
    indexer.run()


def measure(models: ModelStore, make: Callable[[], tuple[ModelFilter, str]], rounds: int) -> list[float]:
    """Return the milliseconds of each page: first ones, and half as many following ones."""
    times: list[float] = []
    while len(times) < rounds:
        wanted, sort = make()
        cursor = None
        for _ in range(2):
            started = time.perf_counter()
            page = models.page(wanted, sort, _LIMIT, cursor)
            times.append((time.perf_counter() - started) * 1000)
            cursor = page.following
            if cursor is None:
                break
    return times


def main() -> None:
    """Fill a database, and print a table."""
    parser = argparse.ArgumentParser(description="Pages of a long list of models.")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--data", type=Path, help="folder in which the database stays")
    options = parser.parse_args()
    corpus = Corpus(options.entries)
    with tempfile.TemporaryDirectory(prefix="mlhub-search-") as name:
        folder = options.data or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        with store(folder) as models:
            loaded = models.entries.estimated_document_count()
            if loaded != options.entries:
                if loaded:
                    sys.exit(f"{folder} has {loaded} entries, not {options.entries}; take another folder.")
                models.create_indexes()
                started = time.monotonic()
                fill(models, corpus)
                print(f"{options.entries} entries kept in {time.monotonic() - started:.0f} s", flush=True)
        # Again, so that nothing is in anybody's cache.
        with store(folder) as models:
            report(models, corpus, options.rounds)


def report(models: ModelStore, corpus: Corpus, rounds: int) -> None:
    """Measure each kind of query, and print a table."""
    started = time.monotonic()
    models.page(ModelFilter(), "name", 1, None)
    print(f"first page after a start: {(time.monotonic() - started) * 1000:.0f} ms")
    segments = models.segments.live()
    marked = len(list(models.entries.find(MARKED, {"_id": 1})))
    sizes = ", ".join(str(segment.size) for segment in segments)
    print(f"{marked} entries that are not indexed; segments of {sizes}")
    print(f"\n| {_LIMIT} entries, by | p50 | p95 | slowest |\n|---|---|---|---|")
    everything: list[float] = []
    for name, make in corpus.kinds().items():
        times = measure(models, make, rounds)
        everything += times
        _print(name, times)
    _print("all of these", everything)


def _print(name: str, times: list[float]) -> None:
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"| {name} | {statistics.median(times):.1f} ms | {p95:.1f} ms | {max(times):.1f} ms |", flush=True)


def _await(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
