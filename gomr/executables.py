"""Asks an executable what it is (`describe`), and says what this machine offers to executables."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from gomr.errors import DefinitionRefused, NotFoundError, UsageError
from gomr.job.main import platform_tag, python_tag
from gomr.job.version import CONTRACT_VERSION
from gomr.supervision.supervised import start
from gomr.supervision.supervisor import EXIT_NO_START

DESCRIBE_SECONDS_MAX = 120.0  # a first start unpacks a PEX with all its dependencies
OUTPUT_BYTES_MAX = 2000
READ_BYTES = 1024 * 1024
HASH_SEED_MAX = 2**32 - 1  # of PYTHONHASHSEED; 0 would mean no seed
DIGESTS_MAX = 16  # remembered: of an executable at hand and its copy in the cache, for a few at a time
HUGE_PAGES = "glibc.malloc.hugetlb=1"  # a task touches all of its memory once, page by page: measured 5 to 8 % faster


KILLED = 128 + signal.SIGKILL  # a supervisor's exit status
NOEXEC = "it lies on a file system that is mounted noexec, from which no program can be started"


class ExecutableRefused(UsageError):
    """The file is not an executable that keeps the job contract, or not one for this machine."""


def file_digest(path: Path, on_bytes: Callable[[int], None] = lambda _position: None) -> str:
    """Return the SHA-256 of a file, in lower-case hexadecimal; `on_bytes` hears how far it is. Raises NotFoundError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(READ_BYTES):
                digest.update(data)
                on_bytes(file.tell())
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}") from error
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """Return the digest of a file like `file_digest`, from memory while it is the same file. Raises NotFoundError."""
    return _remembered_digest(path, file_identity(path))


@functools.lru_cache(maxsize=DIGESTS_MAX)
def _remembered_digest(path: Path, _identity: tuple[int, int, int]) -> str:
    return file_digest(path)


def environment(pex_root: Path, home: Path, digest: str = "") -> dict[str, str]:
    """Return the whole environment of a job's process: nothing of the worker's own reaches it.

    `digest` is the executable's: all its processes, on every machine, have one seed for `hash()`.
    """
    return {
        "PATH": job_path(),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PEX_ROOT": str(pex_root),
        "GLIBC_TUNABLES": HUGE_PAGES,
        "PYTHONHASHSEED": str(1 + int(digest[:8] or "0", 16) % HASH_SEED_MAX),
    }


def is_noexec(path: Path) -> bool:
    """Say whether a file or folder lies on a file system from which no program can be started."""
    return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)


def job_path() -> str:
    """Return the PATH of a job's process: this interpreter's folders, then the system's."""
    folders = [str(Path(sys.executable).parent), str(Path(sys.base_prefix) / "bin")]
    return os.pathsep.join(dict.fromkeys([*folders, "/usr/local/bin", "/usr/bin", "/bin"]))


def describe(path: Path, variables: Mapping[str, str], user: str = "", within: Path | None = None) -> dict[str, Any]:
    """Run `path describe`, as `user` where one is given, and return what it says of itself.

    Its files are made `within` a folder, or where temporary files are made. Raises ExecutableRefused where it does not
    keep the contract, DefinitionRefused where its job file is no job, OSError where no process can be started.
    """
    with Inquiry(path, variables, user, within) as inquiry:
        return inquiry.answer()


@contextlib.contextmanager
def asked(path: Path, cache_dir: Path) -> Iterator["Inquiry"]:
    """Ask an executable what it is, as who submits it does; the block runs meanwhile."""
    ensure_temporary_folder(cache_dir)
    with tempfile.TemporaryDirectory(prefix="gomr-submit-") as home:
        variables = environment(cache_dir / "describe-pex", Path(home), digest_of(path))
        with Inquiry(path, variables) as inquiry:
            yield inquiry


def ensure_temporary_folder(cache_dir: Path) -> None:
    """Have temporary files made below the cache where no usual folder takes them: /tmp may be read-only."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        folder = cache_dir / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def file_identity(path: Path) -> tuple[int, int, int]:
    """Return what changes whenever a file is written or replaced. Raises NotFoundError."""
    try:
        found = path.stat()
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}") from error
    return found.st_ino, found.st_size, found.st_mtime_ns


class Asked(Protocol):
    """An executable that is being asked what it is; `identity` is that of its file before."""

    identity: tuple[int, int, int]

    def answer(self) -> dict[str, Any]:
        """Wait for what it says, and return it. Raises what `describe` does."""


class Inquiry:
    """An executable that is being asked what it is (`describe`), while the asker does something else.

    `identity` is that of the file before it was asked.
    """

    def __init__(self, path: Path, variables: Mapping[str, str], user: str = "", within: Path | None = None) -> None:
        self.identity = file_identity(path)
        if is_noexec(path):
            raise ExecutableRefused(f"{path}: {NOEXEC}")
        self._path = path
        self._folder = tempfile.TemporaryDirectory(prefix="gomr-describe-", dir=within)
        folder = Path(self._folder.name)
        self._answer, self._output = folder / "describe.json", folder / "output"
        if user:
            shutil.chown(folder, user)
        command = [str(path.absolute()), "describe", str(self._answer)]
        try:
            with self._output.open("wb") as output:
                self._supervised = start(command, output=output, environment=variables, folder=folder, user=user)
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> Self:
        """Return the inquiry itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask no more."""
        self._supervised.kill()
        self._folder.cleanup()

    def answer(self) -> dict[str, Any]:
        """Wait for what the executable says of itself, and return it. Raises what `describe` does."""
        said = self._wait()
        try:
            facts: dict[str, Any] = json.loads(self._answer.read_bytes())
            check_facts(self._path, facts)
        except (OSError, ValueError, TypeError, KeyError) as error:
            said = f"; it said:\n{said}" if said else ""
            raise ExecutableRefused(
                f"{self._path}: not a gomr executable: it does not answer `describe` (build it with `gomr build`){said}"
            ) from error
        return facts

    def _wait(self) -> str:
        """Wait for the command's end, or for the time limit; return the end of what it printed."""
        try:
            status = self._supervised.wait(DESCRIBE_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            limit = f"{DESCRIBE_SECONDS_MAX:g} s"
            raise ExecutableRefused(f"{self._path}: did not answer `describe` within {limit}") from error
        with self._output.open("rb") as file:
            file.seek(max(0, self._output.stat().st_size - OUTPUT_BYTES_MAX))
            text = file.read().decode("utf-8", "replace").strip()
        if status == EXIT_NO_START:
            raise ExecutableRefused(f"{self._path}: cannot be executed: {text}")
        self._supervised.check_started()
        return f"{text}\nkilled by SIGKILL (is there too little memory?)".strip() if status == KILLED else text


def check_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Raise the error that what an executable says of itself calls for; TypeError, KeyError for what says nothing."""
    if facts["contract"] != CONTRACT_VERSION:
        raise ExecutableRefused(
            f"{path}: speaks version {facts['contract']} of the job contract, and this gomr speaks version "
            f"{CONTRACT_VERSION}; build the job again with this version of gomr"
        )
    if not facts["ok"]:
        problem = facts["error"]
        raise DefinitionRefused(problem.get("traceback") or problem.get("message") or "the job file does not load")


def offers() -> dict[str, Any]:
    """Return what this machine offers: contract versions, Python versions it can start, platform."""
    pythons = {python_tag()}
    for minor in range(8, 20):
        if shutil.which(f"python3.{minor}", path=job_path()):
            pythons.add(f"cp3{minor}")
    return {"contracts": [CONTRACT_VERSION], "pythons": sorted(pythons), "platform": platform_tag()}
