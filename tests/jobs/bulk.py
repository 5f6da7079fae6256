"""Makes much out of little: every line becomes many pairs of some size."""

import gomr

params = {"pairs": 100, "bytes": 100}


def mapper(line):
    number = int(line)
    pairs = gomr.param("pairs")
    for index in range(pairs):
        yield f"key-{(number * 7919 + index * 104729) % 100003:06d}", str(number % 10) * gomr.param("bytes")


def reducer(key, values):
    count = length = 0
    for value in values:
        count += 1
        length += len(value)
    yield key, f"{count} {length}"
