"""Word count over chunks, with a well-known reducer."""

from collections import Counter

from gomr import total

input_format = "chunks-bytes"


def mapper(chunk):
    return Counter(chunk.split())


reducer = total
