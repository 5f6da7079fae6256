"""Takes memory until it is stopped."""


def mapper(line):
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))
    yield line, len(hoard)
