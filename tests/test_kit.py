"""The conformance kit itself: it finds every back end that is broken on purpose, and explains histories right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gomr.testing.histories import NEVER, READ, SWAP, WRITE, Event, explain

BROKEN = Path(__file__).parent / "broken_backends.py"
SOURCE = """
import pytest
from gomr.testing import {kind}Conformance

class TestBroken({kind}Conformance):
    plugins = [{plugin!r}]

    @pytest.fixture
    def {fixture}_url(self, tmp_path):
        return f"{scheme}://{{tmp_path}}/broken"
"""


@pytest.mark.parametrize(
    ("kind", "scheme", "found_by"),
    [
        ("Storage", "overwritingstorage", {"test_create_leaves_an_object_alone", "test_one_of_racing_creates_wins"}),
        ("Storage", "lookingstorage", {"test_one_of_racing_creates_wins"}),
        ("Storage", "hurriedstorage", {"test_nothing_is_visible_before_the_commit"}),
        ("Storage", "forgetfulstorage", {"test_what_is_written_is_read_at_once_by_others"}),
        ("Coordinator", "hastycoordinator", {"test_a_lease_ends_by_itself_and_never_early"}),
        ("Coordinator", "lyingcoordinator", {"test_histories_are_linearizable"}),
        ("Coordinator", "stalecoordinator", {"test_what_is_written_is_read_at_once_by_others"}),
        ("Coordinator", "deafcoordinator", {"test_a_wait_ends_with_a_change"}),
        ("LogSink", "faultysink", {"test_odd_events_do_no_harm", "test_what_was_sent_is_read"}),
    ],
)
def test_each_broken_back_end_is_found(kind: str, scheme: str, found_by: set[str], tmp_path: Path) -> None:
    fixture = {"Storage": "storage", "Coordinator": "coordinator", "LogSink": "log_sink"}[kind]
    path = tmp_path / "test_broken.py"
    path.write_text(SOURCE.format(kind=kind, plugin=str(BROKEN), fixture=fixture, scheme=scheme))
    wanted = " or ".join(sorted(found_by))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", wanted, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    failed = set(re.findall(r"FAILED test_broken\.py::TestBroken::(\w+)", done.stdout))
    assert found_by <= failed, done.stdout


def test_a_history_that_some_order_explains_is_linearizable() -> None:
    assert not explain(
        [
            Event("k", WRITE, 0.0, 3.0, "a"),
            Event("k", READ, 1.0, 2.0, None),
            Event("k", READ, 1.5, 2.5, "a"),
            Event("k", SWAP, 4.0, 5.0, "b", "a"),
            Event("k", SWAP, 4.0, 5.5, "c", "a", ok=False),
            Event("k", READ, 6.0, 7.0, "b"),
            Event("other", READ, 6.0, 7.0, None),
        ]
    )


@pytest.mark.parametrize(
    ("end", "seen"),
    [(NEVER, "lost"), (NEVER, "a"), (2.0, "lost")],
)
def test_an_unknown_write_may_have_happened_or_not(end: float, seen: str) -> None:
    history = [
        Event("k", WRITE, 0.0, 1.0, "a"),
        Event("k", WRITE, 1.5, end, "lost"),
        Event("k", READ, 3.0, 4.0, seen),
    ]
    assert not explain(history)


@pytest.mark.parametrize(
    "history",
    [
        [Event("k", WRITE, 0.0, 1.0, "a"), Event("k", READ, 2.0, 3.0, None)],
        [Event("k", WRITE, 0.0, 1.0, "a"), Event("k", READ, 2.0, 3.0, "never written")],
        [
            Event("k", WRITE, 0.0, 1.0, "a"),
            Event("k", WRITE, 2.0, 3.0, "b"),
            Event("k", READ, 4.0, 5.0, "b"),
            Event("k", READ, 6.0, 7.0, "a"),
        ],
        [
            Event("k", WRITE, 0.0, 1.0, "a"),
            Event("k", SWAP, 2.0, 3.0, "b", "a"),
            Event("k", SWAP, 2.0, 3.0, "c", "a"),
        ],
        [Event("k", WRITE, 0.0, NEVER, "a"), Event("k", READ, 1.0, 2.0, "a"), Event("k", READ, 3.0, 4.0, None)],
    ],
    ids=["stale", "invented", "back in time", "two winners", "unknown, seen, then gone"],
)
def test_a_history_that_no_order_explains_is_refused(history: list[Event]) -> None:
    assert "no order explains" in explain(history)
