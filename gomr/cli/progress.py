"""Shows how far a job is: bars on a terminal, a line a change elsewhere; always on standard error."""

import sys
from types import TracebackType
from typing import Any, Self

import click

from gomr.scheduling.status import JobStatus, StageStatus
from gomr.units import shown_size


class UploadProgress:
    """Shows how far the upload of local inputs is; `show` is called with bytes so far and bytes in all."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._said = False

    def __enter__(self) -> Self:
        """Return the progress itself: the bar comes with the first bytes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, stored: int, total: int) -> None:
        """Show how far it is: on a terminal a bar, else one line."""
        if not sys.stderr.isatty():
            if not self._said:
                click.echo(f"uploading local inputs, {shown_size(total)}, those that are not stored yet", err=True)
                self._said = True
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            columns = (TextColumn("inputs  "), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("inputs", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=stored)


class Progress:
    """Shows the stages of one job (a context manager); call `show` with each status."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._ids: dict[str, Any] = {}
        self._last = ""

    def __enter__(self) -> Self:
        """Start the bars, on a terminal."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description:<8}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bars = Progress(*columns, console=Console(stderr=True), transient=False)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bars."""
        if self._bars is not None:
            self._bars.stop()

    def show(self, status: JobStatus) -> None:
        """Show one status."""
        if self._bars is None:
            text = ", ".join(_words(stage) for stage in status.stages if stage.tasks)
            text = "; ".join([text or "no tasks yet", *status.notes])
            if text != self._last:
                click.echo(f"{status.job}: {text}", err=True)
                self._last = text
            return
        for stage in status.stages:
            if stage.stage not in self._ids:
                self._ids[stage.stage] = self._bars.add_task(stage.stage, total=None, start=False)
            if stage.tasks:
                self._bars.start_task(self._ids[stage.stage])
                self._bars.update(self._ids[stage.stage], total=stage.tasks, completed=stage.done)
        for note in status.notes:
            if note != self._last:
                self._bars.console.print(note)
                self._last = note


def _words(stage: StageStatus) -> str:
    return f"{stage.stage} {stage.done} of {stage.tasks}"
