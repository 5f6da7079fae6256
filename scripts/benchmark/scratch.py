"""A folder in which commands run one after the other, gomr with data and caches of its own."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmark.measure import Run, run_once


class Scratch:
    """Runs commands; each leaves its result at `output`, and `clear` deletes what it left."""

    def __init__(self, folder: Path, seconds_max: float) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.log = folder / "log"
        self.variables = {**os.environ, "XDG_DATA_HOME": f"{folder}/data", "XDG_CACHE_HOME": f"{folder}/cache"}
        self._seconds_max = seconds_max

    def run(self, command: Sequence[str], **variables: str) -> Run:
        """Run a command, with `variables` beside the others. Raises Failed."""
        return run_once(command, {**self.variables, **variables}, self.log, self._seconds_max)

    def clear(self) -> None:
        """Delete a result and gomr's storage; its caches stay, as between a user's runs."""
        if self.output.is_dir():
            shutil.rmtree(self.output)
        else:
            self.output.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "data", ignore_errors=True)
