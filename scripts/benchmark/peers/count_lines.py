"""Word count by hand, as it is written first: each of two processes updates a Counter line by line. INPUT OUTPUT."""

import sys
from collections import Counter
from multiprocessing import Pool

from pieces import counted, pieces, write_counts

if __name__ == "__main__":
    total: Counter[bytes] = Counter()
    with Pool(2) as pool:
        for part in pool.imap_unordered(counted, pieces(sys.argv[1])):
            total.update(part)
    write_counts(total, sys.argv[2])
