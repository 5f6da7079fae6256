"""Result lines can be turned back into what they were made of."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomr.job.errors import DefinitionError, PairError
from gomr.job.outputs import LineWriter, json_line, output_format, parse_text, text_line
from tests.test_keys import text_with_surrogates

awkward = st.text(st.sampled_from("a\\\t\n\rtnru0é\udc80\ud800\udfff"))


@given(st.one_of(awkward, text_with_surrogates), st.one_of(awkward, text_with_surrogates))
def test_the_escapes_of_a_text_line_are_reversible(key: str, value: str) -> None:
    line = text_line(key, value)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.count(b"\t") == 1
    assert parse_text(line) == (key, value)


@given(st.lists(st.tuples(st.one_of(awkward, text_with_surrogates, st.binary()), st.integers())))
def test_lines_written_together_are_the_lines_written_alone(pairs: list[tuple[Any, int]]) -> None:
    one, other = io.BytesIO(), io.BytesIO()
    writer = LineWriter(one, text_line)
    for key, value in pairs:
        writer.add(key, value)
    writer.flush()
    columns = LineWriter(other, text_line)
    columns.add_columns([key for key, _ in pairs], [value for _, value in pairs])
    columns.flush()
    assert one.getvalue() == other.getvalue() == b"".join(text_line(key, value) for key, value in pairs)


def test_undecodable_bytes_come_out_as_they_went_in() -> None:
    key = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert text_line(key, 1) == b"caf\xe9\t1\n"
    assert text_line(b"caf\xe9", b"\xff") == b"caf\xe9\t\xff\n"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("a", 1, b"a\t1\n"),
        (1.5, None, b"1.5\tNone\n"),
        ((1, "x"), [2], b"(1, 'x')\t[2]\n"),
        ("tab\there", "a\\b", b"tab\\there\ta\\\\b\n"),
        (True, "line\nbreak\r", b"True\tline\\nbreak\\r\n"),
    ],
)
def test_text_lines(key: Any, value: Any, line: bytes) -> None:
    assert text_line(key, value) == line


def test_json_lines() -> None:
    assert json.loads(json_line((1, "é"), {"a": b"x"})) == {"key": [1, "é"], "value": {"a": "x"}}
    assert json_line("\udc80", 1).isascii()
    with pytest.raises(PairError, match="json"):
        json_line("a", float("inf"))
    with pytest.raises(PairError, match="json"):
        json_line("a", object())


def test_an_output_format_may_be_a_function() -> None:
    def formatter(key: Any, _value: Any) -> bytes:
        return str(key).encode()

    assert output_format(formatter) is formatter
    with pytest.raises(DefinitionError, match="'text'"):
        output_format("xml")
