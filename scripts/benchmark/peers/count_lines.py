"""Word count by hand, as it is written first: each of two processes updates a Counter line by line. INPUT OUTPUT."""

import sys

from pieces import count_in_pool, counted

if __name__ == "__main__":
    count_in_pool(counted, *sys.argv[1:])
