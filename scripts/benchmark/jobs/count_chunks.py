"""Word count: a mapping a chunk of lines, a well-known reducer."""

from collections import Counter

from gomr import total

input_format = "chunks-bytes"
reducer = total


def mapper(chunk):
    return Counter(chunk.split())
