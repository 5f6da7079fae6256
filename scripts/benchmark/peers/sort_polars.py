"""Sorts lines by their first ten characters with Polars on two threads. INPUT OUTPUT."""

import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl

if __name__ == "__main__":
    lines = pl.scan_csv(sys.argv[1], has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String})
    ordered = lines.sort(pl.col("line").str.slice(0, 10))
    ordered.sink_csv(sys.argv[2], include_header=False, separator="\x01", quote_style="never", engine="streaming")
