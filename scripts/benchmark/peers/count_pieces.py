"""Word count by hand, with care: each of two processes counts pieces of 16 MB whole. INPUT OUTPUT."""

import sys

from pieces import count_in_pool, counted_whole

if __name__ == "__main__":
    count_in_pool(counted_whole, *sys.argv[1:])
