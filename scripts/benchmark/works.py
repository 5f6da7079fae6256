"""The works of the benchmarks: an input, who does it, and what is to be reached."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.contenders import (
    BY_HAND,
    BY_HAND_WHOLE,
    DASK,
    DUCKDB,
    DUCKDB_SORT,
    GNU_SORT,
    GO,
    LITHOPS,
    MRJOB,
    POLARS,
    POLARS_SORT,
    RAY,
    SPARK,
    SPARK_SORT,
    Contender,
    gomr,
    peer,
)
from benchmark.corpus import Corpus

MB = 10**6
PURE, NATIVE = "gomr, pure", "gomr, native"
PAIRS = [gomr("count_pairs", NATIVE, pure=False), gomr("count_pairs", PURE, pure=True)]
CHUNKS = [gomr("count_chunks", NATIVE, pure=False), gomr("count_chunks", PURE, pure=True)]
GENERIC = [gomr("count_generic", NATIVE, pure=False), gomr("count_generic", PURE, pure=True)]
SORT = [
    gomr("sort_records", NATIVE, pure=False, kind="sorted"),
    gomr("sort_records", PURE, pure=True, kind="sorted"),
]
INDEX = [gomr("index", NATIVE, pure=False, kind="gomr index"), gomr("index", PURE, pure=True, kind="gomr index")]


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table: the first two contenders are gomr; `goals` say peer time over gomr time, by both."""

    title: str
    make_input: Callable[[Corpus], Path]
    gomr: list[Contender]
    peers: list[Contender]
    goals: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)  # peer -> (pure, native)
    make_small: Callable[[Corpus], Path] = Corpus.tiny  # an input to warm up with


WORKS = {
    "pairs": Work(
        "word count, 100 MB, a pair a word, total",
        lambda corpus: corpus.text(100 * MB),
        PAIRS,
        [BY_HAND, BY_HAND_WHOLE, GO],
        {"multiprocessing": (0.65, 1.5), "go": (None, 0.9)},
    ),
    "chunks": Work(
        "word count, 100 MB, a mapping a chunk, total",
        lambda corpus: corpus.text(100 * MB),
        CHUNKS,
        [BY_HAND, BY_HAND_WHOLE, POLARS, DUCKDB],
        {"multiprocessing": (0.75, 2.2), "polars": (None, 0.9), "duckdb": (None, 1.0)},
    ),
    "generic": Work(
        "word count, 100 MB, a reducer by hand that combines",
        lambda corpus: corpus.text(100 * MB),
        GENERIC,
        [BY_HAND, BY_HAND_WHOLE],
        {"multiprocessing": (0.45, 0.8)},
    ),
    "pairs-1gb": Work(
        "word count, 1 GB, a pair a word, total",
        lambda corpus: corpus.text(1000 * MB),
        PAIRS,
        [BY_HAND, BY_HAND_WHOLE, GO],
        {"multiprocessing": (0.65, 1.5), "go": (None, 0.9)},
    ),
    "chunks-1gb": Work(
        "word count, 1 GB, a mapping a chunk, total",
        lambda corpus: corpus.text(1000 * MB),
        CHUNKS,
        [BY_HAND, BY_HAND_WHOLE, POLARS, DUCKDB],
        {"multiprocessing": (0.75, 2.2), "polars": (None, 0.8), "duckdb": (None, 1.0)},
    ),
    "generic-1gb": Work(
        "word count, 1 GB, a reducer by hand that combines",
        lambda corpus: corpus.text(1000 * MB),
        GENERIC,
        [BY_HAND, BY_HAND_WHOLE],
        {"multiprocessing": (0.45, 0.8)},
    ),
    "frameworks-1gb": Work(
        "word count, 1 GB, a pair a word, beside frameworks",
        lambda corpus: corpus.text(1000 * MB),
        PAIRS,
        [LITHOPS, RAY, SPARK, DASK],
        {"lithops": (1.2, 2.5), "ray": (1.2, 2.5), "spark": (2, 4.5), "dask": (3, 7)},
    ),
    "mrjob": Work(
        "word count, 100 MB, a pair a word, beside mrjob",
        lambda corpus: corpus.text(100 * MB),
        PAIRS,
        [MRJOB],
        {"mrjob": (8, 15)},
    ),
    "sort": Work(
        "total order of 100-byte records by a 10-byte key, 1 GB",
        lambda corpus: corpus.records(1000 * MB),
        SORT,
        [GNU_SORT, DUCKDB_SORT, POLARS_SORT],
        {"gnu sort": (0.6, 1.5), "duckdb": (None, 1.0)},
        make_small=lambda corpus: corpus.records(10_000),
    ),
    "sort-spark": Work(
        "total order of 100-byte records by a 10-byte key, 1 GB, beside Spark",
        lambda corpus: corpus.records(1000 * MB),
        SORT,
        [SPARK_SORT],
        {"spark": (2.5, 7)},
        make_small=lambda corpus: corpus.records(10_000),
    ),
    "index": Work(
        "inverted index, 200 files of 5 MB",
        lambda corpus: corpus.files(1000 * MB),
        INDEX,
        [
            peer("index_spark.py", "spark", "pyspark", kind="index"),
            peer("index_dask.py", "dask", "dask[complete]", kind="index"),
        ],
        {"spark": (2, 4), "dask": (2, 4)},
    ),
    "tiny": Work(
        "three lines",
        lambda corpus: corpus.tiny(),
        PAIRS,
        [LITHOPS, DASK, RAY],
        {"lithops": (1.8, 1.8), "dask": (1.5, 1.5), "ray": (10, 10)},
    ),
}
