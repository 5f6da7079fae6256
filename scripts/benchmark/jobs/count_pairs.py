"""Word count: a pair a word, a well-known reducer."""

from gomr import total


def mapper(line):
    for word in line.split():
        yield word, 1


reducer = total
