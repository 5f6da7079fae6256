"""Yields what each task draws, from generators of many kinds, and what hash() and a set's order are."""

import random

import numpy

import gomr

IMPORTED = random.random()
mine = random.Random(7)
new = numpy.random.default_rng()
old = numpy.random.RandomState(7)
also_mine = mine
params = {"seed": None, "fail_once": ""}


def setup():
    if gomr.param("seed") == "in setup":
        random.seed(1)


def mapper(line):
    from pathlib import Path

    drawn = {
        "random": random.random(),
        "mine": mine.random(),
        "new": new.random(),
        "old": old.random_sample(),
        "global": numpy.random.random_sample(),
        "imported": IMPORTED,
        "hash": hash(line[:4]),
        "order": " ".join({"a", "b", "c", "d", "e", "f"}),
    }
    for name, number in drawn.items():
        yield name, (line, number)
    failed = gomr.param("fail_once")
    if failed and not Path(failed).exists():
        Path(failed).touch()
        raise RuntimeError("once")


def partitioner(key, partitions):
    return hash(key) % partitions


def reducer(name, values):
    yield name, sorted(values)
