# /// script
# dependencies = ["six==1.16.0"]
# ///
"""Needs a package."""

import six


def mapper(line):
    yield six.ensure_str(line), 1


def reducer(key, values):
    yield key, sum(values)
