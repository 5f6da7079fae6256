"""Starts an executable's fork server while the rest of gomr is imported: its greeting says what the executable is."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gomr.builtin.process import describe
from gomr.cli.asking import asked_early, executable_named
from gomr.config import Config
from gomr.executables import Asked, asked, check_facts, digest_of, file_identity
from gomr.hookspecs import Program
from gomr.worker.programs import known_server
from gomr.worker.settings import WorkerSettings


@contextmanager
def served_early(job: str) -> Iterator[Asked | None]:
    """Ask like `asked_early`; where the executable is known here, the fork server answers that its tasks will need."""
    path, config = executable_named(job), Config()
    if path is not None:
        settings = WorkerSettings(
            cache_dir=config.path("cache_dir", executes=True), scratch_dir=config.path("scratch_dir")
        )
        identity = file_identity(path)
        program = known_server(settings, digest_of(path))
        if program is not None:
            yield Greeting(path, identity, program, settings.cache_dir)
            return
    with asked_early(job) as inquiry:
        yield inquiry


class Greeting:
    """What the fork server of an executable says first, which is what `describe` would say; it is being started.

    `identity` is that of the file at `path` before its digest was found to be the program's.
    """

    def __init__(self, path: Path, identity: tuple[int, int, int], program: Program, cache_dir: Path) -> None:
        self.identity = identity
        self._path = path
        self._program = program
        self._cache_dir = cache_dir
        self._facts: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._listen, name="greeting", daemon=True)
        self._thread.start()

    def answer(self) -> dict[str, Any]:
        """Wait for what the server says, and return it; where it says nothing of use, `describe` is asked."""
        self._thread.join()
        with contextlib.suppress(TypeError, KeyError):
            if self._facts is not None:
                check_facts(self._path, self._facts)
                return self._facts
        with asked(self._path, self._cache_dir) as inquiry:
            return inquiry.answer()

    def _listen(self) -> None:
        self._facts = describe(self._program)
