"""Asks an executable what it is (`describe`), and says what this machine offers to executables."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gomr.backends import COPY_BYTES
from gomr.errors import DefinitionRefused, NotFoundError, UsageError
from gomr.job.main import platform_tag, python_tag
from gomr.job.version import CONTRACT_VERSION

DESCRIBE_SECONDS_MAX = 120.0  # a first start unpacks a PEX with all its dependencies
OUTPUT_CHARACTERS_MAX = 2000


class ExecutableRefused(UsageError):
    """The file is not an executable that keeps the job contract, or not one for this machine."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in lower-case hexadecimal. Raises NotFoundError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(COPY_BYTES):
                digest.update(data)
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}") from error
    return digest.hexdigest()


def environment(pex_root: Path, home: Path) -> dict[str, str]:
    """Return the whole environment of a job's process: nothing of the worker's own reaches it."""
    folders = [Path(sys.executable).parent, Path(sys.base_prefix) / "bin"]
    path = [*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(dict.fromkeys(path)),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PEX_ROOT": str(pex_root),
    }


def describe(path: Path, variables: Mapping[str, str] | None = None, user: str = "") -> dict[str, Any]:
    """Run `path describe`, as `user` where one is given, and return what it says of itself.

    Raises ExecutableRefused where it does not keep the contract, DefinitionRefused where its job file is no job.
    """
    with tempfile.TemporaryDirectory(prefix="gomr-describe-") as folder:
        answer = Path(folder) / "describe.json"
        if variables is None:
            variables = environment(Path(folder) / "pex", Path(folder))
        if user:
            shutil.chown(folder, user)
        output = _run([str(path.absolute()), "describe", str(answer)], dict(variables), folder, user)
        try:
            facts: dict[str, Any] = json.loads(answer.read_bytes())
            version, ok = facts["contract"], facts["ok"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            said = f"; it said:\n{output}" if output else ""
            raise ExecutableRefused(
                f"{path}: not a gomr executable: it does not answer `describe` (build it with `gomr build`){said}"
            ) from error
    if version != CONTRACT_VERSION:
        raise ExecutableRefused(
            f"{path}: speaks version {version} of the job contract, and this gomr speaks version {CONTRACT_VERSION}; "
            "build the job again with this version of gomr"
        )
    if not ok:
        problem = facts["error"]
        raise DefinitionRefused(problem.get("traceback") or problem.get("message") or "the job file does not load")
    return facts


def offers() -> dict[str, Any]:
    """Return what this machine offers: contract versions, Python versions it can start, platform."""
    pythons = {python_tag()}
    for minor in range(8, 20):
        if shutil.which(f"python3.{minor}"):
            pythons.add(f"cp3{minor}")
    return {"contracts": [CONTRACT_VERSION], "pythons": sorted(pythons), "platform": platform_tag()}


def user_options(name: str) -> dict[str, Any]:
    """Return the options of Popen that run a process as user `name`; none where it is empty."""
    if not name:
        return {}
    import pwd

    found = pwd.getpwnam(name)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _run(command: list[str], variables: dict[str, str], folder: str, user: str) -> str:
    """Run a command in a session of its own, killed whole at the time limit; return what it printed."""
    try:
        process = subprocess.Popen(
            command,
            env=variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **user_options(user),
        )
    except OSError as error:
        raise ExecutableRefused(f"{command[0]}: cannot be executed: {error.strerror}") from error
    with process:
        try:
            output, _ = process.communicate(timeout=DESCRIBE_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise ExecutableRefused(
                f"{command[0]}: did not answer `describe` within {DESCRIBE_SECONDS_MAX:g} s"
            ) from error
    text: str = output.decode("utf-8", "replace")
    return text.strip()[-OUTPUT_CHARACTERS_MAX:]
