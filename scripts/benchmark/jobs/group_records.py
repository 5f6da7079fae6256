"""Groups 100-byte records by their first 10 bytes, with a reducer by hand that is given all of a key's records."""

input_format = "lines-bytes"


def mapper(line):
    yield line[:10], line[11:21]


def reducer(key, numbers):
    yield key, max(numbers)
