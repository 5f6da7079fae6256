"""Remembers which executables start on this machine: to ask one takes a tenth of a second and more."""

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from gomr.executables import describe, job_path
from gomr.job.main import platform_tag
from gomr.job.version import VERSION

KEPT_SECONDS = 3600.0  # then an executable is asked again: what it needs of the machine may be gone
FOLDER = "starts"
SERVES = "serves"
MINOR_VERSIONS = range(8, 20)  # of the interpreters that an executable may choose from


def check_starts(path: Path, digest: str, cache_dir: Path, variables: Mapping[str, str], user: str = "") -> None:
    """Have the executable with `digest` describe itself, unless it did so of late and nothing has changed since.

    That is: at this very path, for this user, by these interpreters, with the same files where it unpacks itself.
    Raises what `gomr.executables.describe` does; only success is remembered. What it says is not kept: a job file may
    say something else at each time (its inputs are found anew, say).
    """
    proof = cache_dir / FOLDER / f"{digest}-{_machine(user, path)}"
    root = Path(variables["PEX_ROOT"])
    with contextlib.suppress(OSError):
        if 0 <= time.time() - proof.stat().st_mtime < KEPT_SECONDS and _state(root) in proof.read_text().split():
            return
    facts = describe(path, variables, user, path.parent)
    with contextlib.suppress(OSError):  # a full disk: it is asked again next time
        _keep(proof, f"{_state(root)} {SERVES if facts.get('serve') else ''}")


def is_known_to_serve(digest: str, cache_dir: Path) -> bool:
    """Say whether the executable with `digest` said of late, on this machine, that it can be a fork server."""
    for proof in (cache_dir / FOLDER).glob(f"{digest}-*"):
        with contextlib.suppress(FileNotFoundError):
            return SERVES in proof.read_text().split()
    return False


def _keep(proof: Path, said: str) -> None:
    proof.parent.mkdir(parents=True, exist_ok=True)
    for old in proof.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime >= KEPT_SECONDS:
                old.unlink()
    aside = proof.with_suffix(f".{secrets.token_hex(4)}")
    aside.write_text(said)
    aside.replace(proof)


def _state(root: Path) -> str:
    """Return a digest of the names, sizes and times of all files below a folder, but for compiled and hidden ones."""
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(name for name in files if not name.startswith(".")):  # PEX notes there when it ran last
            path = os.path.join(parent, name)  # noqa: PTH118 - a Path for each of thousands costs more than its state
            found = os.lstat(path)
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _machine(user: str, path: Path) -> str:
    """Return a digest of what else an answer depends on: gomr, the platform, the user, the interpreters, the path."""
    names = ["python3", *(f"python3.{minor}" for minor in MINOR_VERSIONS)]
    found = [shutil.which(name, path=job_path()) for name in names]
    pythons = [(path, os.stat(path).st_mtime_ns) for path in found if path]  # noqa: PTH116 - they are strings
    return hashlib.sha256(repr((VERSION, platform_tag(), user, pythons, path)).encode()).hexdigest()[:16]
