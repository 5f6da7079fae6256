"""Which executables this worker runs: cached, tried once with `describe`, and refused where they do not start here."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from gomr.errors import UsageError
from gomr.executables import ExecutableRefused, environment
from gomr.logs import log
from gomr.scheduling.cluster import Cluster
from gomr.starting import check_starts
from gomr.worker.cache import ExecutableCache
from gomr.worker.programs import FOLDER
from gomr.worker.settings import WorkerSettings


class Executables:
    """The executables of one worker. Safe for several threads."""

    def __init__(
        self, cluster: Cluster, settings: WorkerSettings, on_refusal: Callable[[dict[str, str]], None]
    ) -> None:
        self._user = settings.run_as
        self._cache_dir = settings.cache_dir
        self._cache = ExecutableCache(cluster, settings.cache_dir / FOLDER, settings.cache_bytes)
        self._on_refusal = on_refusal
        self._tried: set[str] = set()
        self._refused: dict[str, str] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def use(self, digest: str, key: str) -> Iterator[Path]:
        """Yield the path of an executable, stored under `key`, that has answered `describe` on this machine.

        Raises ExecutableRefused for one that does not start here: the machine's refusal, never a task's failure.
        """
        with self._lock:
            if digest in self._refused:
                raise ExecutableRefused(self._refused[digest])
            if digest not in self._tried:
                self._try(digest, key)
                self._tried.add(digest)
        with self._cache.use(digest, key) as path:
            yield path

    def pex_root(self, digest: str) -> Path:
        """Return the folder that the executable unpacks itself into."""
        folder = self._cache.pex_root(digest)
        if self._user and folder.owner() != self._user:
            shutil.chown(folder, self._user)
        return folder

    def refuses(self, digest: str) -> bool:
        """Say whether this worker has refused the executable."""
        return digest in self._refused

    def refuse(self, digest: str, reason: str) -> None:
        """Leave all jobs of this executable to other workers from now on."""
        if digest in self._refused:
            return
        self._refused[digest] = reason
        self._on_refusal(dict(self._refused))
        log.error("executable.refused", digest=digest, reason=reason, next="its jobs are left to other workers")

    def _try(self, digest: str, key: str) -> None:
        """Have the executable describe itself; where it does not, fetch and unpack it anew once."""
        for last in (False, True):
            with self._cache.use(digest, key) as path:
                try:
                    variables = environment(self.pex_root(digest), path.parent, digest)
                    check_starts(path, digest, self._cache_dir, variables, self._user)
                    return
                except UsageError as error:
                    if last:
                        raise ExecutableRefused(str(error)) from error
            self._cache.drop(digest)
