"""The job of the chaos runs: counts words, and takes its time."""

import time

params = {"seconds": 0.2}


def setup():
    import gomr

    time.sleep(gomr.param("seconds"))


def mapper(line):
    for word in line.split():
        yield word, 1


def combiner(word, counts):
    yield word, sum(counts)


def reducer(word, counts):
    yield word, sum(counts)
