"""Ends the process under gomr's feet."""

import os


def mapper(line):
    os._exit(3)
    yield line
