"""Word count with a Dask bag on two processes. INPUT OUTPUT."""

import sys
from pathlib import Path

from dask import bag

if __name__ == "__main__":
    lines = bag.read_text(sys.argv[1], blocksize="16MB", encoding="utf-8")
    counts = lines.map(str.split).flatten().frequencies(split_every=8)
    found = counts.compute(scheduler="processes", num_workers=2)
    with Path(sys.argv[2]).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\t{number}\n" for word, number in found)
