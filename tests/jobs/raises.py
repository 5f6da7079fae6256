"""Raises on one record."""


def parse(line):
    return int(line)


def mapper(line):
    yield parse(line), 1


def reducer(key, values):
    yield key, sum(values)
