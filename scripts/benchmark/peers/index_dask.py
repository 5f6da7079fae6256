"""Inverted index with a Dask bag on two processes. INPUT_FOLDER OUTPUT."""

import sys
from pathlib import Path

from dask import bag


def pairs(path: Path) -> list[tuple[str, str]]:
    """Return the words of a file, each once, with its name."""
    return [(word, path.name) for word in set(path.read_text(encoding="utf-8").split())]


def add(names: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """Add the name of a pair."""
    return (*names, pair[1])


def join(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Join two lists of names."""
    return names + others


if __name__ == "__main__":
    files = bag.from_sequence(sorted(Path(sys.argv[1]).iterdir()), npartitions=16)
    index = files.map(pairs).flatten().foldby(lambda pair: pair[0], add, (), join, ())
    found = index.compute(scheduler="processes", num_workers=2)
    with Path(sys.argv[2]).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\t{','.join(sorted(set(names)))}\n" for word, names in found)
