"""What the conformance classes share: how a back end is opened, here and in other processes."""

import multiprocessing
import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from gomr.backends import Coordinator, Storage
from gomr.plugins import Plugins

RACE_SECONDS_MAX = 120.0  # of processes that start, race and end; a loaded machine takes its time
T = TypeVar("T")

Work = Callable[[str, Sequence[str] | None, int, str], Any]
"""What a racing process runs: it gets the URL, the plugins, its number, and a name that all racers share."""


class Conformance:
    """Base of the conformance classes; they are not collected, subclasses are.

    `plugins` is the value of --plugins with which the URL is opened (None: found by its scheme). `processes` says
    how many race; 0 for a back end that lives in one process, whose races are left out.
    """

    __test__ = False
    plugins: ClassVar[Sequence[str] | None] = None
    processes: ClassVar[int] = 4

    def __init_subclass__(cls) -> None:
        """Have pytest collect subclasses of other packages."""
        cls.__test__ = not cls.__module__.startswith("gomr.testing.")

    @pytest.fixture
    def name(self) -> str:
        """A name that nothing had before: tests may share a bucket or a cluster with others."""
        return secrets.token_hex(8)

    def race(self, work: Work, url: str, name: str) -> list[Any]:
        """Run `work`, a function of a module, in `processes` processes at once; return what each returned."""
        if not self.processes:
            pytest.skip("processes = 0: this back end lives in one process")
        from gomr.testing.racers import stand_in_line

        context = multiprocessing.get_context("spawn")
        line = context.Barrier(self.processes)  # which also keeps one process from taking two racers' parts
        with context.Pool(self.processes, stand_in_line, (line,)) as pool:
            asked = [pool.apply_async(work, (url, self.plugins, number, name)) for number in range(self.processes)]
            return [answer.get(RACE_SECONDS_MAX) for answer in asked]


def open_storage(url: str, plugins: Sequence[str] | None = None) -> Storage:
    """Open a storage as gomr does, in any process; `plugins` as in --plugins."""
    return Plugins(plugins).open_storage(url)


def open_coordinator(url: str, plugins: Sequence[str] | None = None) -> Coordinator:
    """Open a coordinator as gomr does, in any process; `plugins` as in --plugins."""
    return Plugins(plugins).open_coordinator(url)
