"""The pool of fork servers: started before the first task, found again, waited for no longer than wanted."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gomr.builtin.process.pool import ServerPool
from gomr.hookspecs import Launch, Program

SERVES = """\
print("imported", flush=True)
control = socket.socket(fileno=int(sys.argv[2]))
control.sendall(b'{"ready": true}\\n')
control.recv(1)
"""
HANGS = "time.sleep(1000)\n"
REFUSES = "sys.exit(1)\n"
WAIT_SECONDS = 60
MakeLaunch = Callable[[str], Launch]


@pytest.fixture
def pool() -> Iterator[ServerPool]:
    pool = ServerPool()
    yield pool
    pool.close()


@pytest.fixture
def make_launch(tmp_path: Path) -> MakeLaunch:
    """Return what makes a launch of an executable with this body, which notes each of its starts."""

    def make(body: str) -> Launch:
        path = tmp_path / "executable"
        if not path.exists():
            starts = f"open({str(tmp_path / 'starts')!r}, 'a').write('s')\n"
            path.write_text(f"#!{sys.executable}\nimport socket, sys, time\n{starts}{body}")
            path.chmod(0o755)
        log = tmp_path / f"log-{len(list(tmp_path.iterdir()))}"
        log.touch()
        program = Program(path, digest="0", environment={}, serve=True, open_files=100, file_bytes=2**30)
        return Launch(program, tmp_path / "task", tmp_path, log, 60.0, 2**30, threading.Event(), print)

    return make


def starts(launch: Launch) -> int:
    path = launch.scratch / "starts"
    return len(path.read_text()) if path.exists() else 0


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_tasks_find_the_server_that_was_prepared(pool: ServerPool, make_launch: MakeLaunch) -> None:
    first, second = make_launch(SERVES), make_launch(SERVES)
    for _ in range(3):
        pool.prepare(first.program)
    server = pool.acquire(first)
    assert server is not None
    assert pool.acquire(second) is server
    assert starts(first) == 1


def test_the_first_task_shows_what_the_server_printed(pool: ServerPool, make_launch: MakeLaunch) -> None:
    first, second = make_launch(SERVES), make_launch(SERVES)
    pool.acquire(first)
    pool.acquire(second)
    assert first.log.read_text() == "imported\n"
    assert second.log.read_text() == ""


def test_a_task_that_is_stopped_waits_for_no_server_that_starts(pool: ServerPool, make_launch: MakeLaunch) -> None:
    launch = make_launch(HANGS)
    pool.prepare(launch.program)
    until(lambda: starts(launch) == 1)
    launch.stop.set()
    assert pool.acquire(launch) is None
    assert starts(launch) == 1


def test_a_server_that_refuses_is_not_asked_again(pool: ServerPool, make_launch: MakeLaunch) -> None:
    launch = make_launch(REFUSES)
    for _ in range(2):
        assert pool.acquire(launch) is None
        pool.prepare(launch.program)
    assert starts(launch) == 1
