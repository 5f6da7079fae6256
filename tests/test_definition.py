"""Mistakes in a job file are found, and said with the line."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from gomr import total
from gomr.job.definition import define
from gomr.job.errors import DefinitionError

MAPPER = "def mapper(line):\n    yield line, 1\n"


def module_of(folder: Path, source: str) -> ModuleType:
    path = folder / "some_job.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("some_job", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("x = 1\n", 1, "no mapper"),
        ("import os\n\ndef map(line):\n    pass\n", 3, "did you mean 'mapper'"),
        (MAPPER + "\n\ndef reduce(key, values):\n    pass\n", 5, "did you mean 'reducer'"),
        (MAPPER + "def reduceer(key, values):\n    pass\n", 3, "did you mean 'reducer'"),
        (MAPPER + "partition = 3\n", 3, "did you mean 'partition"),
        ("def mapper(key, line):\n    pass\n", 1, "called as mapper(record)"),
        (MAPPER + "def reducer(key):\n    pass\n", 3, "called as reducer(key, values)"),
        (MAPPER + "reducer = 3\n", 3, "reducer is int"),
        (MAPPER + "def combiner(key, values):\n    pass\n", 3, "combiner without a reducer"),
        (MAPPER + "partitions = 0\n", 3, "partitions is 0"),
        (MAPPER + "partitions = True\n", 3, "partitions is True"),
        (MAPPER + "params = [1]\n", 3, "params is a dict"),
        (MAPPER + "input_format = 'csv'\n", 3, "input_format is 'csv'"),
        (MAPPER + "chunk_bytes = '4MB'\n", 3, "chunk_bytes is '4MB'"),
        (MAPPER + "output_format = 'csv'\n", 3, "output_format is 'csv'"),
        (MAPPER + "inputs = 7\n", 3, "inputs is a list"),
        (MAPPER + "steps = []\n", 3, "one map and one reduce"),
        (MAPPER + "def setup(x):\n    pass\n", 3, "called as setup()"),
    ],
)
def test_mistakes_are_said_with_their_line(tmp_path: Path, source: str, line: int, words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        define(module_of(tmp_path, source))
    assert str(caught.value).startswith(f"some_job.py:{line}: ")
    assert words in str(caught.value)


def test_a_well_known_reducer_combines_by_itself(tmp_path: Path) -> None:
    definition = define(module_of(tmp_path, "from gomr import total\n" + MAPPER + "reducer = total\n"))
    assert definition.combiner is total


def test_all_names_of_a_job(tmp_path: Path) -> None:
    source = MAPPER + (
        "def reducer(key, values):\n    yield key, 1\n"
        "combiner = reducer\n"
        "def partitioner(key, partitions):\n    return 0\n"
        "def setup():\n    pass\n"
        "partitions = 3\nparams = {'a': 1}\ninput_format = 'chunks'\n"
        "chunk_bytes = 4096\noutput_format = 'json'\ninputs = 'x.txt'\n"
    )
    definition = define(module_of(tmp_path, source))
    assert definition.partitions == 3
    assert definition.params == {"a": 1}
    assert definition.inputs == ("x.txt",)
    assert definition.input_format.name == "chunks"
    assert definition.chunk_bytes == 4096


def test_helpers_with_other_names_are_fine(tmp_path: Path) -> None:
    define(module_of(tmp_path, "from functools import reduce\nLIMIT = 3\ndef helper(x):\n    return x\n" + MAPPER))
