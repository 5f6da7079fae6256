"""Map-only: every line, as it is."""


def mapper(line):
    yield line, 1
