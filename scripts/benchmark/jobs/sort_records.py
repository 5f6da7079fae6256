"""Sorts records of 100 bytes by their first 10 bytes."""

from gomr import Sort

sort = Sort(record_bytes=100, key=slice(0, 10))
