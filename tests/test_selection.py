"""The wildcards of paths and of keys are one language."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gomr.content import HEAD_BYTES, compression_of, why_no_text
from gomr.errors import UsageError
from gomr.localfiles import LocalFiles
from gomr.selection import has_wildcard, is_left_out, matches

names = st.sampled_from(["a", "b", "ab", "_x", ".h", "_d=1", "a[b]"])
files = st.lists(st.lists(names, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6)
parts = st.sampled_from(["*", "**", "a*", "_*", ".*", "?", "[ab]*", "[!a]", "a", "_x", "a[b]", "**b"])
patterns = st.lists(parts, min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(files, patterns)
@example(["a/b"], ["**"])
@example(["a"], ["a", "**"])
@example(["a/a/a"], ["**", "a", "**"])
def test_a_wildcard_takes_the_same_names_of_a_folder_as_of_a_bucket(tree: Sequence[str], pattern: list[str]) -> None:
    with TemporaryDirectory() as folder:
        made = []
        for name in tree:
            path = Path(folder) / name
            if any(parent.is_file() for parent in path.parents) or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            made.append(name)
        text = "/".join(pattern)
        root = f"file://{folder}/"
        found = [item.url.removeprefix(root) for item in LocalFiles(None).find(f"{folder}/{text}")]
        if (Path(folder) / text).is_file():
            assert found == [text]
        elif (Path(folder) / text).is_dir():
            below = [name for name in made if name.startswith(f"{text}/")]
            assert found == sorted(name for name in below if not is_left_out(name.removeprefix(f"{text}/")))
        elif has_wildcard(text):
            assert found == sorted(name for name in made if matches(name.split("/"), pattern))
        else:
            assert found == []


@given(
    st.binary(max_size=64), st.sampled_from([b"", b"\x51\x2a\x4d\x18", b"\x1f\x8b\x08", b"BZh9", b"\x28\xb5\x2f\xfd"])
)
def test_no_beginning_of_a_file_is_too_odd_to_be_judged(data: bytes, before: bytes) -> None:
    assert compression_of(before + data) in ("", "gz", "bz2", "zst", "xz", "lz4", "snappy")
    assert bool(why_no_text(data)) or b"\0" not in data


def test_a_nul_after_the_first_bytes_is_no_reason_to_refuse() -> None:
    assert why_no_text(b"x" * (HEAD_BYTES - 1) + b"\0")
    assert not why_no_text(b"x" * HEAD_BYTES + b"\0")


@pytest.mark.parametrize("path", ["file://relative", "file://", "a\0b"])
def test_what_is_no_path_is_refused_in_a_sentence(path: str) -> None:
    with pytest.raises(UsageError):
        LocalFiles(None).find(path)
