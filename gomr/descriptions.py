"""Remembers what executables answered to `describe` on this machine: to ask takes a tenth of a second and more."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gomr.executables import describe, job_path
from gomr.job.main import platform_tag
from gomr.job.version import VERSION

KEPT_SECONDS = 3600.0  # then an executable is asked again: what it needs of the machine may be gone
FOLDER = "descriptions"
MINOR_VERSIONS = range(8, 20)  # of the interpreters that an executable may choose from


def described(
    path: Path, digest: str, cache_dir: Path, variables: Mapping[str, str], *, user: str = "", starts: bool = False
) -> dict[str, Any]:
    """Return what the executable with `digest` says of itself, asking it only where no answer of late is kept.

    With `starts`, only an answer counts that it gave at this very path, and after which nothing has changed where it
    unpacks itself: it is then known to start from there. Raises what `gomr.executables.describe` does; only good
    answers are kept.
    """
    folder = cache_dir / FOLDER
    answer = folder / f"{digest}-{_machine(user, path if starts else None)}.json"
    root = Path(variables["PEX_ROOT"]) if starts else None
    with contextlib.suppress(OSError, ValueError, KeyError):
        if 0 <= time.time() - answer.stat().st_mtime < KEPT_SECONDS:
            kept = json.loads(answer.read_bytes())
            if kept["unpacked"] == _state(root):
                facts: dict[str, Any] = kept["facts"]
                return facts
    facts = describe(path, variables, user)
    with contextlib.suppress(OSError):  # a full disk: it is asked again next time
        _keep(answer, {"facts": facts, "unpacked": _state(root)})
    return facts


def _keep(answer: Path, kept: dict[str, Any]) -> None:
    answer.parent.mkdir(parents=True, exist_ok=True)
    for old in answer.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime >= KEPT_SECONDS:
                old.unlink()
    aside = answer.with_suffix(f".{secrets.token_hex(4)}")
    aside.write_text(json.dumps(kept))
    aside.replace(answer)


def _state(root: Path | None) -> str:
    """Return a digest of the names, sizes and times of all files below a folder, compiled ones left out."""
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(root) if root else ():
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = os.path.join(parent, name)  # noqa: PTH118 - a Path for each of thousands costs more than its state
            found = os.lstat(path)
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _machine(user: str, path: Path | None) -> str:
    """Return a digest of what else an answer may depend on: gomr, the platform, the user, the interpreters, a path."""
    names = ["python3", *(f"python3.{minor}" for minor in MINOR_VERSIONS)]
    found = [shutil.which(name, path=job_path()) for name in names]
    pythons = [(path, os.stat(path).st_mtime_ns) for path in found if path]  # noqa: PTH116 - they are strings
    return hashlib.sha256(repr((VERSION, platform_tag(), user, pythons, path)).encode()).hexdigest()[:16]
