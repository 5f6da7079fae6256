"""Word count with Ray: a task a piece, four partitions, a task a partition. INPUT OUTPUT_FOLDER."""

import sys
import zlib
from collections import Counter
from pathlib import Path

import ray
from pieces import Piece, counted, pieces, write_counts

HERE = str(Path(__file__).parent)  # where the tasks find `pieces`
PARTITIONS = 4


@ray.remote(num_returns=PARTITIONS)
def count(piece: Piece) -> list[dict[bytes, int]]:
    """Count the words of a piece, by partition."""
    parts: list[dict[bytes, int]] = [{} for _ in range(PARTITIONS)]
    for word, number in counted(piece).items():
        parts[zlib.crc32(word) % PARTITIONS][word] = number
    return parts


@ray.remote
def add(path: str, *parts: dict[bytes, int]) -> int:
    """Add up one partition and write it."""
    total: Counter[bytes] = Counter()
    for part in parts:
        total.update(part)
    write_counts(total, path)
    return len(total)


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": HERE}})
    counted = [count.remote(piece) for piece in pieces(sys.argv[1])]
    columns = zip(*counted, strict=True)
    ray.get([add.remote(str(folder / f"part-{number}"), *column) for number, column in enumerate(columns)])
    ray.shutdown()
