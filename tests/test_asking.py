"""`gomr run` of an executable that has served here: one start tells what it is and runs its tasks."""

import sys
from pathlib import Path

import pytest

from tests.conftest import Gomr

JOB = """\
from gomr import total

reducer = total
open({starts!r}, "a").write("started\\n")


def mapper(line):
    for word in line.split():
        yield word, 1
"""
SILENT_SERVER = """\
#!{python}
import json, os, socket, subprocess, sys

if sys.argv[1] != "serve":
    os.execv({program!r}, [{program!r}, *sys.argv[1:]])
theirs = socket.socket(fileno=int(sys.argv[2]))
theirs.sendall(b'{{"ready": true}}\\n')
for line in theirs.makefile():
    request = json.loads(line)
    task = subprocess.Popen([{program!r}, "task", request["task"]])
    theirs.sendall(json.dumps({{"started": request["run"], "pid": task.pid}}).encode() + b"\\n")
    theirs.sendall(json.dumps({{"ended": request["run"], "status": task.wait()}}).encode() + b"\\n")
"""


@pytest.fixture
def executable(gomr: Gomr, tmp_path: Path) -> Path:
    """An executable that writes down each of its starts, and has run a job with a cache of its own."""
    gomr.environment["GOMR_CACHE_DIR"] = str(tmp_path / "cache")
    (tmp_path / "in.txt").write_text("b a b\n")
    (tmp_path / "counts.py").write_text(JOB.format(starts=str(tmp_path / "starts")))
    gomr("build", "counts.py", "-o", "counts.pex")
    assert counts(gomr) == "a\t1\nb\t2\n"
    return tmp_path / "counts.pex"


def counts(gomr: Gomr, *options: object) -> str:
    """Run the job; return its result. What it wrote of its starts is of this run alone."""
    (gomr.folder / "starts").unlink(missing_ok=True)
    return gomr("run", "counts.pex", "in.txt", *options).stdout


def starts(gomr: Gomr) -> int:
    return (gomr.folder / "starts").read_text().count("started")


@pytest.mark.usefixtures("executable")
def test_one_start_tells_what_it_is_and_runs_its_tasks(gomr: Gomr) -> None:
    assert counts(gomr) == "a\t1\nb\t2\n"
    assert starts(gomr) == 1


@pytest.mark.usefixtures("executable")
def test_without_a_fork_server_it_is_asked_alone(gomr: Gomr) -> None:
    assert counts(gomr, "--exec-per-task") == "a\t1\nb\t2\n"
    assert starts(gomr) > 2


def test_a_copy_that_is_damaged_tells_nothing(gomr: Gomr, executable: Path) -> None:
    [copy] = (gomr.folder / "cache").glob("bin/*/executable")
    copy.chmod(0o755)
    copy.write_text("#!/bin/sh\nexec sleep 1000\n")
    assert counts(gomr) == "a\t1\nb\t2\n"
    assert copy.read_bytes() == executable.read_bytes()


def test_a_server_that_says_nothing_of_itself(gomr: Gomr, executable: Path) -> None:
    """Another may keep the contract, and say only that it is ready: `describe` is asked then."""
    program = executable.with_name("inner.pex")
    executable.rename(program)
    executable.write_text(SILENT_SERVER.format(python=sys.executable, program=str(program)))
    executable.chmod(0o755)
    for _ in range(2):  # the second time it is known to serve
        assert counts(gomr) == "a\t1\nb\t2\n"
