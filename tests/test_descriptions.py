"""Answers to `describe` are kept: by executable, machine and path, for a while."""

import os
from pathlib import Path

import pytest

from gomr import descriptions
from gomr.descriptions import described
from gomr.errors import GomrError

ANSWER = '{"contract": 1, "ok": true}'


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    """An executable that writes down each time it is asked."""
    path = tmp_path / "executable"
    path.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho '{ANSWER}' > $2\n")
    path.chmod(0o755)
    return path


def times_asked(path: Path) -> int:
    asked = path.with_name("asked")
    return asked.read_text().count("asked") if asked.exists() else 0


def test_an_executable_is_asked_once_for_each_place_it_must_start_from(executable: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(executable.read_bytes())
    other.chmod(0o755)
    variables = {"PATH": os.defpath, "PEX_ROOT": str(tmp_path / "unpacked")}
    for _ in range(3):
        facts = described(executable, "digest", tmp_path / "cache", variables)
        assert facts["ok"]
        described(other, "digest", tmp_path / "cache", variables)
    assert times_asked(executable) == 1
    for _ in range(3):
        described(executable, "digest", tmp_path / "cache", variables, starts=True)
        described(other, "digest", tmp_path / "cache", variables, starts=True)
    assert times_asked(executable) == 3
    described(executable, "another", tmp_path / "cache", variables)
    assert times_asked(executable) == 4


@pytest.mark.parametrize("damage", ["old", "from the future", "broken", "gone"])
def test_an_answer_that_is_of_no_use_is_asked_for_anew(executable: Path, tmp_path: Path, damage: str) -> None:
    variables = {"PATH": os.defpath}
    described(executable, "digest", tmp_path / "cache", variables)
    (answer,) = (tmp_path / "cache" / descriptions.FOLDER).iterdir()
    if damage == "old":
        os.utime(answer, (1, 1))
    elif damage == "from the future":
        os.utime(answer, (2**32, 2**32))
    elif damage == "broken":
        answer.write_text("{")
    else:
        answer.unlink()
    described(executable, "digest", tmp_path / "cache", variables)
    assert times_asked(executable) == 2


def test_what_was_unpacked_and_has_changed_is_asked_anew(executable: Path, tmp_path: Path) -> None:
    root = tmp_path / "unpacked"
    (root / "folder" / "__pycache__").mkdir(parents=True)
    (root / "folder" / "module.py").write_text("right")
    variables = {"PATH": os.defpath, "PEX_ROOT": str(root)}
    for _ in range(2):
        described(executable, "digest", tmp_path / "cache", variables, starts=True)
        (root / "folder" / "__pycache__" / "module.pyc").touch()
    assert times_asked(executable) == 1
    (root / "folder" / "module.py").write_text("wrong now")
    described(executable, "digest", tmp_path / "cache", variables, starts=True)
    assert times_asked(executable) == 2


def test_a_bad_answer_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "executable"
    path.write_text("#!/bin/sh\nexit 9\n")
    path.chmod(0o755)
    for _ in range(2):
        with pytest.raises(GomrError):
            described(path, "digest", tmp_path / "cache", {"PATH": os.defpath})
    assert not (tmp_path / "cache").exists()
