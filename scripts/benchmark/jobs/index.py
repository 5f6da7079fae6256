"""Inverted index: each word with the sorted list of the files it stands in."""

import gomr

input_format = "chunks-bytes"
chunk_bytes = 8_000_000  # a file whole, so that each word of it comes once


def mapper(chunk):
    name = gomr.input_name().rpartition("/")[2]
    for word in set(chunk.split()):
        yield word, name


def reducer(word, names):
    yield word, ",".join(sorted(set(names)))
