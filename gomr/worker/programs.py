"""What all processes of an executable have on this machine, and their preparation before the first task."""

from pathlib import Path
from typing import TYPE_CHECKING

from gomr.executables import digest_of, environment
from gomr.hookspecs import Program
from gomr.starting import is_known_to_serve
from gomr.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from gomr.plugins import Plugins

FOLDER = "bin"  # of the cache


def executable_path(folder: Path, digest: str) -> Path:
    """Return where an executable lies."""
    return folder / digest / "executable"


def unpacking_folder(folder: Path, digest: str) -> Path:
    """Return the folder that an executable may unpack itself into; it goes with the entry."""
    return folder / digest / "pex"


def program_of(settings: WorkerSettings, digest: str, executable: Path, pex_root: Path, *, serve: bool) -> Program:
    """Return an executable as those who run its tasks see it; `serve`: it can be a fork server."""
    return Program(
        executable=executable,
        digest=digest,
        environment=environment(pex_root, executable.parent, digest),
        serve=serve and not settings.exec_per_task,
        open_files=settings.open_files,
        file_bytes=settings.file_bytes,
        user=settings.run_as,
    )


def known_server(settings: WorkerSettings, digest: str) -> Program | None:
    """Return an executable that is whole on this machine, and served here of late; None where it is not, or may not."""
    folder = settings.cache_dir / FOLDER
    path = executable_path(folder, digest)
    if settings.exec_per_task or not is_known_to_serve(digest, settings.cache_dir):
        return None
    if not path.exists() or digest_of(path) != digest:
        return None
    return program_of(settings, digest, path, unpacking_folder(folder, digest), serve=True)


def prepare(plugins: "Plugins", settings: WorkerSettings, digest: str) -> None:
    """Tell whoever runs tasks that some of an executable are about to come, if it is known here; do not wait."""
    program = known_server(settings, digest)
    if program is not None:
        plugins.manager.hook.gomr_prepare(program=program)
