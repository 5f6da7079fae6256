"""That an executable starts here is remembered: by its digest, its path and what it unpacked, for a while."""

import json
import os
from pathlib import Path

import pytest

from gomr import starting
from gomr.client import Client
from gomr.errors import GomrError
from gomr.starting import check_starts, is_known_to_serve

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


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Its environment, with a folder of what it has unpacked."""
    root = tmp_path / "unpacked"
    (root / "folder" / "__pycache__").mkdir(parents=True)
    (root / "folder" / "module.py").write_text("right")
    return {"PATH": os.defpath, "PEX_ROOT": str(root)}


def test_an_executable_is_asked_once_for_each_place(
    executable: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    other = tmp_path / "other"
    other.write_bytes(executable.read_bytes())
    other.chmod(0o755)
    for _ in range(3):
        check_starts(executable, "digest", tmp_path / "cache", variables)
        check_starts(other, "digest", tmp_path / "cache", variables)
    assert times_asked(executable) == 2
    check_starts(executable, "another", tmp_path / "cache", variables)
    assert times_asked(executable) == 3


def test_that_an_executable_serves_is_remembered(executable: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    cache = tmp_path / "cache"
    check_starts(executable, "digest", cache, variables)
    assert not is_known_to_serve("digest", cache)
    executable.write_text(executable.read_text().replace('"ok"', '"serve": true, "ok"'))
    check_starts(executable, "another", cache, variables)
    assert is_known_to_serve("another", cache)
    check_starts(executable, "another", cache, variables)
    assert times_asked(executable) == 2


@pytest.mark.parametrize("damage", ["old", "from the future", "broken", "gone"])
def test_a_proof_that_is_of_no_use(executable: Path, tmp_path: Path, variables: dict[str, str], damage: str) -> None:
    check_starts(executable, "digest", tmp_path / "cache", variables)
    (proof,) = (tmp_path / "cache" / starting.FOLDER).iterdir()
    if damage == "old":
        os.utime(proof, (1, 1))
    elif damage == "from the future":
        os.utime(proof, (2**32, 2**32))
    elif damage == "broken":
        proof.write_text("{")
    else:
        proof.unlink()
    check_starts(executable, "digest", tmp_path / "cache", variables)
    assert times_asked(executable) == 2


def test_what_was_unpacked_and_has_changed(executable: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    folder = Path(variables["PEX_ROOT"]) / "folder"
    for _ in range(2):
        check_starts(executable, "digest", tmp_path / "cache", variables)
        (folder / "__pycache__" / "module.pyc").touch()
        (folder / ".last-access").touch()
    assert times_asked(executable) == 1
    (folder / "module.py").write_text("wrong now")
    check_starts(executable, "digest", tmp_path / "cache", variables)
    assert times_asked(executable) == 2


def test_a_failure_is_not_remembered(tmp_path: Path, variables: dict[str, str]) -> None:
    path = tmp_path / "executable"
    path.write_text("#!/bin/sh\nexit 9\n")
    path.chmod(0o755)
    for _ in range(2):
        with pytest.raises(GomrError):
            check_starts(path, "digest", tmp_path / "cache", variables)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("own_inputs", "kept_seconds", "asked"),
    [({}, 600.0, 1), ({"inputs": []}, 600.0, 1), ({}, -1.0, 3), ({"inputs": ["one-of-its-own"]}, 600.0, 3)],
)
def test_a_client_asks_again_what_may_have_changed(
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_inputs: dict[str, list[str]],
    kept_seconds: float,
    asked: int,
) -> None:
    monkeypatch.setattr("gomr.client.DESCRIBED_SECONDS", kept_seconds)
    facts = {"contract": 1, "ok": True, "name": "job", "params": {}, "reducer": True, **own_inputs}
    facts |= {"requires": {}, "input": {"format": "lines", "split": "lines"}}
    (tmp_path / "answer").write_text(json.dumps(facts))
    (tmp_path / "input").write_text("a line\n")
    path = tmp_path / "executable"
    path.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\ncat {tmp_path}/answer > $2\n")
    path.chmod(0o755)
    for _ in range(3):
        client.submit(path, [str(tmp_path / "input")])
    assert times_asked(path) == asked
