"""Word count with Polars, lazy and streaming, on two threads. INPUT OUTPUT."""

import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl

if __name__ == "__main__":
    lines = pl.scan_csv(sys.argv[1], has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String})
    words = lines.select(pl.col("line").str.replace_all("\t", " ", literal=True).str.split(" ").alias("word"))
    counts = words.explode("word").filter(pl.col("word") != "").group_by("word").agg(pl.len())
    counts.sink_csv(sys.argv[2], include_header=False, separator="\t", quote_style="never", engine="streaming")
