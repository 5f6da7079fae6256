"""Word count with lithops on this machine: a function a piece, one reducer. INPUT OUTPUT."""

import sys

import lithops
from pieces import pieces, write_counts

SETTINGS = {
    "lithops": {"backend": "localhost", "storage": "localhost", "log_level": "WARNING", "telemetry": False},
    "localhost": {"worker_processes": 2},
}


def count(path: str, start: int, end: int) -> dict[bytes, int]:
    """Count the words of a piece."""
    from collections import Counter

    counts: Counter[bytes] = Counter()
    with open(path, "rb") as file:  # noqa: PTH123 - this function travels, its imports do not
        file.seek(start)
        for line in file:
            counts.update(line.split())
            start += len(line)
            if start >= end:
                break
    return counts


def add(results: list[dict[bytes, int]]) -> dict[bytes, int]:
    """Add up."""
    from collections import Counter

    total: Counter[bytes] = Counter()
    for counts in results:
        total.update(counts)
    return total


if __name__ == "__main__":
    with lithops.FunctionExecutor(config=SETTINGS) as executor:
        futures = executor.map_reduce(count, pieces(sys.argv[1]), add)
        write_counts(executor.get_result(futures), sys.argv[2])
