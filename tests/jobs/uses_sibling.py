"""Imports a module beside it, and a package."""

import sibling
from sibling_package import inner


def mapper(line):
    yield sibling.shout(line), inner.WEIGHT


def reducer(key, values):
    yield key, sum(values)
