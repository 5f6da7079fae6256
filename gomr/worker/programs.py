"""What all processes of an executable have on this machine, and their preparation before the first task."""

from pathlib import Path

from gomr.executables import environment
from gomr.hookspecs import Program
from gomr.plugins import Plugins
from gomr.starting import is_known_to_serve
from gomr.worker.cache import FOLDER, executable_path, unpacking_folder
from gomr.worker.settings import WorkerSettings


def program_of(settings: WorkerSettings, digest: str, executable: Path, pex_root: Path, *, serve: bool) -> Program:
    """Return an executable as those who run its tasks see it; `serve`: it can be a fork server."""
    return Program(
        executable=executable,
        digest=digest,
        environment=environment(pex_root, executable.parent),
        serve=serve and not settings.exec_per_task,
        open_files=settings.open_files,
        file_bytes=settings.file_bytes,
        user=settings.run_as,
    )


def prepare(plugins: Plugins, settings: WorkerSettings, digest: str) -> None:
    """Tell whoever runs tasks that some of an executable are about to come, if it is known here; do not wait."""
    folder = settings.cache_dir / FOLDER
    path = executable_path(folder, digest)
    if path.exists() and is_known_to_serve(digest, settings.cache_dir):
        program = program_of(settings, digest, path, unpacking_folder(folder, digest), serve=True)
        plugins.manager.hook.gomr_prepare(program=program)
