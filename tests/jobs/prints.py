"""Prints a megabyte to standard output, and a word to standard error."""

import sys


def mapper(line):
    for number in range(16384):
        print(f"{number:063d}")
    print("the end", file=sys.stderr)
    yield line, 1


def reducer(key, values):
    yield key, sum(values)
