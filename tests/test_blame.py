"""Who is to blame, and where: each error names the function, the record or key, the type, and what to write instead."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import gomr
from gomr.job.definition import JobDefinition
from gomr.job.errors import UserError, error_facts
from gomr.scheduling.history import record_sentence
from tests.conftest import Gomr
from tests.planes import as_list, core, failure, job_of, run

__all__ = ["core"]

LONG = 10**5000  # more digits than Python writes


class Vain(Exception):
    """Pickles, and cannot be made again: pickle calls its class with `args`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Sly:
    """Pickles at first, and cannot be made again where it is not empty."""

    def __init__(self, *items: int) -> None:
        self.items = items

    def __reduce__(self) -> tuple[Any, ...]:
        return (Sly.make, self.items)

    def __repr__(self) -> str:
        return f"Sly{self.items}"

    @staticmethod
    def make(*items: int) -> "Sly":
        if items:
            raise LookupError("no more of these")
        return Sly()


def mapping(*values: Any, reducer: Any = as_list, combiner: Any = None) -> JobDefinition:
    """Return a job whose mapper is called with lines "0", "1", ...: each yields a value for a key of that name."""

    def mapper(_line: str) -> Iterator[Any]:
        yield from ((str(number), value) for number, value in enumerate(values))

    return dataclasses.replace(job_of([], reducer=reducer, combiner=combiner), mapper=mapper)


def facts_of(error: UserError) -> dict[str, Any]:
    return error_facts(error)


UNPICKLABLE = {
    "dict_keys": ({}.keys(), "cannot pickle 'dict_keys' object"),
    "a lambda": (lambda: 0, "lambda"),
    "a lock": (threading.Lock(), "cannot pickle"),
    "nested deeper than pickle goes": (None, "recursion"),
    "an exception class": (Vain(1, "text"), "missing 1 required positional argument"),
}
deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]
UNPICKLABLE["nested deeper than pickle goes"] = (deep, "recursion")


@pytest.mark.parametrize(("value", "why"), UNPICKLABLE.values(), ids=UNPICKLABLE)
@pytest.mark.parametrize("reducer", [as_list, gomr.first])
def test_a_value_that_cannot_travel_is_blamed_on_its_record(
    core: ModuleType | None, value: Any, why: str, reducer: Any
) -> None:
    combiner = None if reducer is as_list else reducer
    facts = facts_of(failure(mapping(1, value, 2, reducer=reducer, combiner=combiner), core))
    assert facts["message"].startswith("mapper: the value ")
    assert type(value).__name__ in facts["message"]
    assert why in facts["message"]
    assert "yield plain values" in facts["message"]
    assert (facts["record"], facts["record_number"], facts["kind"], facts["final"]) == ("'0'", 1, "job", True)


@pytest.mark.parametrize("around", [lambda value: [value], lambda value: {"a": (value,)}])
def test_whatever_came_before_and_whatever_is_around_it(core: ModuleType | None, around: Any) -> None:
    facts = facts_of(failure(mapping([1], {"a": 1}, around(Vain(1, "text"))), core))
    assert (facts["record"], facts["record_number"]) == ("'0'", 1)
    assert facts["message"].startswith("mapper: the value ")


def test_numbers_that_come_in_a_mapping_are_summed_or_blamed_like_others(core: ModuleType | None) -> None:
    def mapper(line: str) -> dict[str, Any]:
        return {"a": "x", "b": "y"} if line == "0" else {"a": 1, "b": 2}

    job = dataclasses.replace(job_of([], [], reducer=gomr.total, combiner=gomr.total), mapper=mapper)
    with pytest.raises(UserError, match=r"gomr.total cannot take the values 'x' and 1 of key 'a' together"):
        run(job, 2, 1, [core], core)


def test_a_value_that_is_not_made_again_is_the_jobs_and_names_the_key(core: ModuleType | None) -> None:
    """Not a damaged block, for which machines are blamed, and which is tried again."""
    facts = facts_of(failure(mapping(Sly(), Sly(1)), core))
    assert "no more of these" in facts["message"]
    assert (facts["record"], facts["source"], facts["kind"], facts["final"]) == ("'1'", "reducer", "job", True)


def test_what_a_combiner_makes_is_blamed_on_its_key(core: ModuleType | None) -> None:
    def combiner(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, dict.fromkeys(values, 0).values()

    job = job_of([("a", 1), ("b", 1), ("b", 2)], reducer=as_list, combiner=combiner)
    facts = facts_of(failure(job, core))
    assert facts["message"].startswith("combiner: the value ")
    assert (facts["record"], facts["source"]) == ("'b'", "combiner")
    assert record_sentence(facts) == "the combiner was at the key 'b'"


@pytest.mark.parametrize("position", [0, 3, 9])
@pytest.mark.parametrize("keep_keys", [True, False], ids=["a reducer of the job's", "total"])
def test_a_number_too_long_to_write_is_blamed_on_its_key(
    core: ModuleType | None, position: int, keep_keys: bool
) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, sum(values)

    pairs = [(str(key), LONG if key == position else 1) for key in range(10)]
    job = job_of(pairs, reducer=reducer if keep_keys else gomr.total, combiner=None if keep_keys else gomr.total)
    facts = facts_of(failure(job, core))
    assert (facts["record"], facts["source"]) == (f"'{position}'", "reducer")
    assert "of type int" in facts["message"]


def test_without_a_reducer_it_is_blamed_on_its_record(core: ModuleType | None) -> None:
    facts = facts_of(failure(mapping(1, LONG, 2, reducer=None), core))
    assert (facts["record"], facts["record_number"]) == ("'0'", 1)
    assert "of key '1'" in facts["message"]


def test_an_error_about_a_key_that_has_no_text_is_one(core: ModuleType | None) -> None:
    facts = facts_of(failure(job_of([(LONG, {}.keys())], reducer=as_list), core))
    assert "dict_keys" in facts["message"]
    facts = facts_of(failure(job_of([(LONG, 1)], reducer=as_list), core))
    assert facts["record"] == "<int, whose repr fails: ValueError>"


RETURNED = {
    "a number": (lambda *_: 5, "returned 5, of type int"),
    "a text": (lambda *_: "text", "returned 'text', of type str"),
    "one pair": (lambda *_: ("word", 1), "returned one pair, ('word', 1)"),
    "a function": (lambda *_: len, "returned <built-in function len>"),
    "items that are no pairs": (lambda *_: ["ab"], "yielded 'ab', of type str"),
    "pairs of three": (lambda *_: [(1, 2, 3)], "yielded (1, 2, 3), of type tuple"),
}


@pytest.mark.parametrize(("function", "said"), RETURNED.values(), ids=RETURNED)
@pytest.mark.parametrize("which", ["mapper", "mapper of a job without reducer", "combiner", "reducer"])
def test_what_is_no_pairs_names_the_function(
    core: ModuleType | None, function: Callable[..., Any], said: str, which: str
) -> None:
    job = job_of([("a", 1), ("a", 2)], reducer=as_list)
    changed: dict[str, Any] = {which: function}
    if which.startswith("mapper"):
        job = dataclasses.replace(job, mapper=function, reducer=None if "without" in which else as_list)
    else:
        job = dataclasses.replace(job, **changed)
    facts = facts_of(failure(job, core))
    assert f"{which.split(maxsplit=1)[0]} {said}" in facts["message"]
    assert "pair" in facts["message"]
    assert facts["final"]


def test_an_output_format_that_returns_a_str_is_named(core: ModuleType | None) -> None:
    returns_str: Any = "{}\n".format
    job = dataclasses.replace(job_of([("a", 1)], reducer=as_list), output_format=returns_str)
    facts = facts_of(failure(job, core))
    assert "output_format returned 'a\\n', of type str, for the key 'a'" in facts["message"]
    assert "encode()" in facts["message"]


@pytest.mark.parametrize("answer", [-1, 3, "1", None, 1.0])
def test_a_partitioners_wrong_answer_names_the_key(core: ModuleType | None, answer: Any) -> None:
    job = dataclasses.replace(job_of([("a", 1)], reducer=as_list), partitioner=lambda _key, _count: answer)
    facts = facts_of(failure(job, core, partitions=3))
    assert f"for key 'a' it answered {answer!r}" in facts["message"]
    assert (facts["record"], facts["source"]) == ("'a'", "partitioner")


def test_a_partitioner_that_fails_names_the_key_and_the_line(core: ModuleType | None) -> None:
    def partitioner(key: Any, _count: int) -> int:
        return {"a": 0}[key]

    job = dataclasses.replace(job_of([("a", 1), ("b", 1)], reducer=as_list), partitioner=partitioner)
    facts = facts_of(failure(job, core, partitions=3))
    assert "in partitioner" in facts["traceback"]
    assert (facts["record"], facts["source"], facts["final"]) == ("'b'", "partitioner", False)


def test_values_that_no_sum_takes_are_named(core: ModuleType | None) -> None:
    one = job_of([("a", 1), ("a", "2")], reducer=gomr.total, combiner=gomr.total)
    facts = facts_of(failure(one, core))
    assert "gomr.total cannot take the values 1 and '2' of key 'a' together, of types int and str" in facts["message"]


def test_the_cause_of_an_error_is_shown(core: ModuleType | None) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        try:
            yield key, values.no_such_name  # type: ignore[attr-defined]
        except AttributeError as error:
            raise RuntimeError("the model is missing") from error

    text = facts_of(failure(job_of([("a", 1)], reducer=reducer), core))["traceback"]
    assert text.index("no_such_name") < text.index("direct cause") < text.index("the model is missing")
    assert "gomr/job" not in text


def test_a_job_ends_after_one_attempt_at_what_would_fail_again(gomr: Gomr) -> None:
    (gomr.folder / "job.py").write_text(
        "def mapper(line):\n    yield line, {}.keys()\n\n\ndef reducer(key, values):\n    yield key, 1\n"
    )
    (gomr.folder / "in.txt").write_text("first\nsecond\n")
    said = gomr("run", "job.py", "in.txt", status=1).stderr
    assert "mapper: the value dict_keys([]) of type dict_keys cannot travel to a reducer" in said
    assert f"record 1 of file://{gomr.folder}/in.txt: 'first'" in said
    assert "attempt 1 on" in said


def test_records_with_such_values_are_skipped_where_the_job_allows_it(gomr: Gomr) -> None:
    (gomr.folder / "job.py").write_text(
        "def mapper(line):\n    yield line, {}.keys() if line == 'bad' else 1\n\n\n"
        "def reducer(key, values):\n    yield key, sum(values)\n"
    )
    (gomr.folder / "in.txt").write_text("good\nbad\ngood\n")
    assert gomr("run", "job.py", "in.txt", "--max-skipped", "1").stdout == "good\t2\n"


def test_the_reducers_key_is_a_sentence(gomr: Gomr) -> None:
    (gomr.folder / "job.py").write_text(
        "def mapper(line):\n    yield line, 1\n\n\ndef reducer(key, values):\n    return 5\n"
    )
    (gomr.folder / "in.txt").write_text("word\n")
    said = gomr("run", "job.py", "in.txt", status=1).stderr
    assert "reducer returned 5, of type int; it gives (key, value) pairs: write `yield key, value`" in said
    assert "the reducer was at the key 'word'" in said


CLOSES = {
    "closes both": "sys.stdout.close(); sys.stderr.close()",
    "closes their descriptors": "import os; os.close(1); os.close(2)",
    "has none": "sys.stdout = sys.stderr = None",
    "puts its own in place": "import io; sys.stdout = sys.stderr = io.BytesIO()",
    "puts anything in place": "sys.stdout = sys.stderr = 5",
}


@pytest.mark.parametrize("how", CLOSES.values(), ids=CLOSES)
@pytest.mark.parametrize("flag", [[], ["--exec-per-task"]], ids=["forked", "executed"])
def test_a_job_may_do_without_standard_output(gomr: Gomr, how: str, flag: list[str]) -> None:
    (gomr.folder / "job.py").write_text(f"import sys\n\n\ndef mapper(line):\n    {how}\n    yield line, 1\n")
    (gomr.folder / "in.txt").write_text("word\n")
    assert gomr("run", "job.py", "in.txt", *flag).stdout == "word\t1\n"


def test_and_still_says_why_it_fails(gomr: Gomr) -> None:
    (gomr.folder / "job.py").write_text(
        "import sys\n\n\ndef mapper(line):\n    sys.stdout.close(); sys.stderr.close()\n    1 / 0\n"
    )
    (gomr.folder / "in.txt").write_text("word\n")
    assert "ZeroDivisionError" in gomr("run", "job.py", "in.txt", "--max-attempts", "1", status=1).stderr
