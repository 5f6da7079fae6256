"""Output formats: how the pairs of a reducer (or of a map-only mapper) become lines of a result.

`text`: `key<TAB>value`. A str stands as it is, bytes as the text they spell, anything else as Python's repr.
Backslash, tab, newline and carriage return inside are written `\\\\`, `\\t`, `\\n`, `\\r`, and a character that is no
UTF-8 text as `\\uXXXX`; `parse_text` turns a line back. `json`: `{"key": ..., "value": ...}`, one object a line, ASCII.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, TracebackType
from typing import Any, BinaryIO, Self

from gomr.job.errors import DefinitionError, PairError, shown
from gomr.job.keys import Key, plain_key
from gomr.job.numbers import number_of, with_numbers
from gomr.job.pairs import SHOWN_CHARACTERS_MAX, as_pair
from gomr.job.values import PLAIN

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_NEEDS_ESCAPE = re.compile(r"[\\\t\n\r]")
_NOT_TEXT = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no byte
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|(.))")
_UNESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}

LINES_HELD_MAX = 1024
_LONG = 2**63  # an int beyond may have more digits than Python writes: it is written while its record is in hand
_REPR_OF_OBJECT: Any = object.__repr__  # an address in memory
_NO_TEXT = (Iterator, FunctionType, BuiltinFunctionType, MethodType)
Formatter = Callable[[Key, Any], bytes]


def text_line(key: Key, value: Any) -> bytes:
    """Return the line of a pair in the `text` format, with its newline. Raises PairError for what has no text."""
    try:
        key_text = key if type(key) is str else _text(_plain(key))
        if _NEEDS_ESCAPE.search(key_text):
            key_text = _escaped(key_text)
        value_text = _escaped(_text(value))
    except Exception as error:
        raise _unwritten("text", key, value, error) from error
    line = f"{key_text}\t{value_text}\n"
    try:
        encoded = line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _NOT_TEXT.sub(_code, line).encode("utf-8", "surrogateescape")
    if encoded.isascii() or encoded.decode("utf-8", "surrogateescape") == line:
        return encoded
    return _SURROGATE.sub(_code, line).encode()  # bytes that would join into other text


class LineWriter:
    """Writes pairs as result lines (a context manager, whose end writes the last of them).

    Runs of texts, and of texts with ints, are written together, which is three times as fast.
    """

    def __init__(self, file: BinaryIO, formatter: Formatter) -> None:
        self._file = file
        self._formatter = formatter
        self.is_text = formatter is text_line
        self._keys: list[str] = []
        self._values: list[int | str] = []
        self.count = 0

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is held, unless the block failed."""
        if kind is None:
            self.flush()

    def add(self, key: Key, value: Any) -> None:
        """Write one pair, at once or with the next ones."""
        self.count += 1
        if self.is_text:
            key = key.decode("utf-8", "surrogateescape") if key.__class__ is bytes else key
            value = value.decode("utf-8", "surrogateescape") if value.__class__ is bytes else value
            if key.__class__ is str and (value.__class__ is str or (value.__class__ is int and -_LONG < value < _LONG)):
                self._keys.append(key)
                self._values.append(value)
                if len(self._keys) >= LINES_HELD_MAX:
                    self.flush()
                return
        self.flush()
        line = self._formatter(key, value)
        if not isinstance(line, (bytes, bytearray, memoryview)):
            raise PairError(
                f"output_format returned {shown(line, SHOWN_CHARACTERS_MAX)}, of type {type(line).__name__}, for the "
                f"key {shown(key, SHOWN_CHARACTERS_MAX)}; it returns the bytes of a line: write return line.encode()",
                key=key,
            )
        self._file.write(line)

    def add_pairs(self, pairs: Iterable[Any], function: str) -> None:
        """Write the pairs that `function` of the job gave. Raises PairError for what is none."""
        keys, values = self._keys, self._values
        is_text = self.is_text
        for pair in pairs:
            key, value = pair if pair.__class__ is tuple and len(pair) == 2 else as_pair(pair, function)
            if is_text:
                if key.__class__ is bytes:
                    key = key.decode("utf-8", "surrogateescape")
                if key.__class__ is str and (
                    value.__class__ is str or (value.__class__ is int and -_LONG < value < _LONG)
                ):
                    self.count += 1
                    keys.append(key)
                    values.append(value)
                    if len(keys) >= LINES_HELD_MAX:
                        self.flush()
                    continue
            self.add(key, value)

    def add_columns(self, keys: list[Key], values: list[Any]) -> None:
        """Write many pairs."""
        if self.is_text and set(map(type, values)) == {int}:
            kinds = set(map(type, keys))
            if kinds == {bytes}:
                keys = [key.decode("utf-8", "surrogateescape") for key in keys]
            if kinds <= {bytes} or kinds <= {str}:
                self.flush()
                self.count += len(keys)
                for start in range(0, len(keys), LINES_HELD_MAX):
                    self._write(keys[start : start + LINES_HELD_MAX], values[start : start + LINES_HELD_MAX])
                return
        for key, value in zip(keys, values, strict=True):
            self.add(key, value)

    def flush(self) -> None:
        """Write what is held."""
        if self._keys:
            self._write(self._keys, self._values)
            self._keys.clear()
            self._values.clear()

    def _write(self, keys: list[str], values: Sequence[int | str]) -> None:
        shown: list[Sequence[int | str]] = [keys, values]
        for column, texts in ((0, keys), (1, [value for value in values if value.__class__ is str])):
            if _NEEDS_ESCAPE.search("".join(texts)):
                shown[column] = [_escaped(text) if text.__class__ is str else text for text in shown[column]]
        try:
            self._file.write("".join(map("%s\t%s\n".__mod__, zip(*shown, strict=True))).encode())
        except ValueError:  # a surrogate (undecodable input bytes), or an int that Python does not write
            self._file.writelines(map(text_line, keys, values))


def parse_text(line: bytes) -> tuple[str, str]:
    """Return the key and the value of a line of the `text` format, as text; the inverse of its escapes."""
    key, _, value = line.removesuffix(b"\n").decode("utf-8", "surrogateescape").partition("\t")
    return _unescaped(key), _unescaped(value)


def json_line(key: Key, value: Any) -> bytes:
    """Return the line of a pair in the `json` format. Raises PairError for what JSON cannot say."""
    try:
        pair = {"key": with_numbers(_plain(key)), "value": with_numbers(value)}
        text = json.dumps(pair, default=_json_default, allow_nan=False)
    except Exception as error:
        raise _unwritten("json", key, value, error) from error
    return text.encode("ascii") + b"\n"


OUTPUT_FORMATS: dict[str, Formatter] = {"text": text_line, "json": json_line}


def output_format(value: object) -> Formatter:
    """Return the formatter that a job file's `output_format` names. Raises DefinitionError."""
    if isinstance(value, str) and value in OUTPUT_FORMATS:
        return OUTPUT_FORMATS[value]
    if callable(value):
        return value
    raise DefinitionError(
        f"output_format is {value!r}; it is one of {', '.join(map(repr, OUTPUT_FORMATS))}, "
        "or a function of (key, value) that returns the bytes of a line"
    )


def _code(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if type(value) in PLAIN:
        return repr(value)
    value = with_numbers(value)
    _check_has_text(value)
    return repr(value)


def _plain(key: Key) -> Key:
    """Return the plain key that a key of a derived class stands for, as it does on its way to a reducer."""
    try:
        return plain_key(key)
    except PairError:  # a result may have other keys, such as dates
        return key


def _check_has_text(value: Any) -> None:
    """Raise TypeError for what is read only once, and for what has no text that says it whole."""
    kind = type(value)
    numpy: Any = sys.modules.get("numpy")
    if isinstance(value, getattr(numpy, "ndarray", ())):
        raise TypeError("the text of an array leaves out its middle; yield array.tolist()")
    if isinstance(value, (tuple, list, set, frozenset)):
        for part in value:
            _check_has_text(part)
    elif isinstance(value, dict):
        for part in (*value, *value.values()):
            _check_has_text(part)
    elif isinstance(value, _NO_TEXT):
        raise TypeError(f"{kind.__name__} is no value; yield what it gives, such as list(...)")
    elif kind.__repr__ is _REPR_OF_OBJECT:
        raise TypeError(f"{kind.__name__} has no text of its own; give the class a __repr__, or yield its fields")


def _unwritten(format_name: str, key: Key, value: Any, error: Exception) -> PairError:
    return PairError(
        f"output_format {format_name!r} cannot write the value {shown(value, SHOWN_CHARACTERS_MAX)}, of type "
        f"{type(value).__name__}, of key {shown(key, SHOWN_CHARACTERS_MAX)}: {error}",
        key=key,
    )


def _escaped(text: str) -> str:
    return _NEEDS_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)


def _unescaped(text: str) -> str:
    return _UNESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _UNESCAPES[found[2]], text)


def _json_default(value: object) -> Any:
    number = number_of(value)
    if number is not None:
        return number
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")
