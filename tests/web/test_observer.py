"""What is made of records for people: gaps, quantiles, error groups, rows of a time line."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomr.backends import Range
from gomr.model import TaskRecord
from gomr.observer.facts import DONE, TaskFacts
from gomr.observer.failures import error_groups
from gomr.observer.gaps import RANGES_MAX, gaps
from gomr.observer.statistics import BUCKETS, plot, quantiles, stragglers
from gomr.observer.timeline import Bar, bars_of, lay_out, window
from gomr.observer.trace import trace_events
from gomr.scheduling.history import ATTEMPTS_KEPT_MAX, FAILED, LOST, OVERTAKEN, bounded, cut, with_attempt, with_backup

TOTAL = 60


def key(number: int) -> str:
    return f"{number:03d}"


@given(known=st.sets(st.integers(0, TOTAL - 1)))
def test_gaps_cover_all_that_is_not_known(known: set[int]) -> None:
    found = gaps(((number, number + 1) for number in known), TOTAL, key, "999")
    assert len(found) <= RANGES_MAX
    covered = {number for number in range(TOTAL) for item in found if item.key <= key(number) < item.end}
    assert covered >= set(range(TOTAL)) - known
    runs = sum(number - 1 not in known for number in known)
    if runs < RANGES_MAX:  # else the shortest runs are read again
        assert covered == set(range(TOTAL)) - known


def test_gaps_of_a_stage_of_which_all_is_known() -> None:
    assert gaps([(0, 5), (5, 10)], 10, key, "999") == []
    assert gaps([(2, 4)], 6, key, "999") == [Range("000", "002"), Range("004", "999")]


def done(index: int, started: float, run: float, worker: str = "w1", **facts: object) -> TaskFacts:
    return TaskFacts(index, DONE, "1", worker, started, run=run, **facts)  # type: ignore[arg-type]


def test_quantiles_and_stragglers() -> None:
    tasks = [done(index, 100.0, seconds) for index, seconds in enumerate([1.0, 2.0, 2.0, 2.0, 10.0])]
    assert quantiles(tasks)["seconds"] == [1.0, 2.0, 2.0, 2.0, 10.0]
    runs = TaskFacts(5, "run", "1", "w2", started=100.0)
    found = stragglers([*tasks, runs], now=120.0)
    assert [(task["index"], task["times"]) for task in found] == [(5, 10.0), (4, 5.0)]
    assert quantiles([runs]) == {}
    assert stragglers([runs]) == []


def test_plot_keeps_what_was_read() -> None:
    tasks = [done(0, 100.0, 4.0, records_in=400, bytes_in=4000), done(1, 102.0, 6.0, records_in=60, bytes_in=600)]
    drawn = plot(tasks, 100.0, 110.0)
    width = 10.0 / BUCKETS
    assert sum(drawn["records"]) * width == pytest.approx(460, rel=0.01)
    assert max(drawn["running"]) == 2.0
    assert drawn["running"][-1] == 0.0


def test_history_is_bounded_and_names_the_users_frame() -> None:
    record = TaskRecord("run", 1, "w1", "n", started_seconds=1.0)
    trace = (
        'Traceback (most recent call last):\n  File "a.py", line 3, in mapper\n    f()\n  File "b.py", line 9, in f\n'
    )
    for _ in range(20):
        entries = with_attempt(record, FAILED, {"kind": "job", "message": "m" * 1000, "traceback": trace})
        record = TaskRecord("run", 1, "w1", "n", history=entries)
    assert len(record.history) == ATTEMPTS_KEPT_MAX
    assert record.history[-1]["frame"] == "b.py:9 in f"
    assert len(record.to_json()) < 10_000


@pytest.mark.parametrize("letter", ["x", "\\", "語", "\U0001f600", "\ud800"])
def test_what_a_job_says_fits_a_record_in_any_script(letter: str) -> None:
    said = {
        "kind": letter * 10_000,
        "message": letter * 10_000,
        "traceback": letter * 10_000,
        "record": letter * 10_000,
    }
    error = bounded({**said, "odd": [letter] * 10_000})
    record = TaskRecord("run", 1, "w1", "n", error=error)
    for _ in range(20):
        record = replace(record, history=with_attempt(record, FAILED, said))
    assert len(record.to_json()) < 16_000
    assert TaskRecord.from_json(record.to_json()) == record
    assert error["message"].startswith(letter)
    assert error["message"].endswith(letter)


@given(text=st.text(), room=st.integers(20, 200))
def test_a_text_is_cut_only_where_it_is_too_long(text: str, room: int) -> None:
    kept = cut(text, room)
    assert len(json.dumps(kept)) <= max(room, 2)
    assert kept == text or len(json.dumps(text)) > room


def test_errors_are_grouped_by_their_last_frame() -> None:
    trace = '  File "a.py", line 3, in mapper\n'
    first = with_attempt(TaskRecord("run", 1, "w1", "n"), FAILED, {"kind": "job", "message": "x 1", "traceback": trace})
    other = with_attempt(TaskRecord("run", 1, "w1", "n"), FAILED, {"kind": "job", "message": "x 2", "traceback": trace})
    lost = with_attempt(TaskRecord("run", 1, "w1", "n"), LOST)
    tasks = [TaskFacts(0, DONE, history=[*first, *lost]), TaskFacts(1, "wait", history=other)]
    fatal = {"kind": "job", "message": "y", "traceback": '  File "c.py", line 1, in reducer\n', "task": "1-map/7"}
    groups = error_groups({"1-map": tasks}, fatal)
    assert [(group["frame"], group["count"], group["fatal"]) for group in groups] == [
        ("c.py:1 in reducer", 1, True),
        ("a.py:3 in mapper", 2, False),
        ("", 1, False),
    ]
    assert groups[0]["tasks"] == ["1-map/7"]
    assert groups[1]["tasks"] == ["1-map/0", "1-map/1"]


@given(
    attempts=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(1, 20)), max_size=40),
)
def test_no_two_bars_of_a_row_run_at_a_time(attempts: list[tuple[str, int, int]]) -> None:
    tasks = [done(index, float(start), float(run), worker) for index, (worker, start, run) in enumerate(attempts)]
    bars = bars_of({"1-map": tasks})
    rows = lay_out(bars)
    assert rows == sorted(rows)
    by_row: dict[int, list[Bar]] = {}
    for bar in bars:
        assert rows[bar.row] == bar.worker
        by_row.setdefault(bar.row, []).append(bar)
    for row in by_row.values():
        assert all(one.run_to <= other.run_from + 0.01 for one, other in pairwise(row))


def test_lost_and_overtaken_attempts_are_bars() -> None:
    history = [
        {"attempt": "1", "worker": "w1", "started": 10.0, "ended": 12.0, "outcome": "lost"},
        {"attempt": "2", "worker": "w2", "started": 12.0, "ended": 0.0, "outcome": "overtaken"},
    ]
    task = done(3, 14.0, 2.0, "w3", history=history)
    bars = bars_of({"1-map": [task]})
    assert [(bar.outcome, bar.worker, bar.ended) for bar in bars] == [
        ("lost", "w1", 12.0),
        ("overtaken", "w2", 16.0),
        ("done", "w3", 16.0),
    ]
    shown = window(bars, 0.0, 11.0)
    assert (shown["shown"], shown["total"]) == (1, 1)
    trace = trace_events(bars)
    assert {event["ph"] for event in trace["traceEvents"]} == {"M", "X"}
    assert max(event["ts"] + event["dur"] for event in trace["traceEvents"] if event["ph"] == "X") == 6_000_000


def test_a_backup_that_lost_is_told_of() -> None:
    own = TaskRecord(
        "run", 2, "w1", "n", started_seconds=5.0, history=with_attempt(TaskRecord("run", 1, "w0", "m"), LOST)
    )
    backup = replace(own, worker="w2", backup=True, started_seconds=9.0, history=with_attempt(own, OVERTAKEN))
    assert with_backup(own, None) == own.history
    told = with_backup(own, backup)
    assert [(entry["attempt"], entry["worker"], entry["outcome"]) for entry in told] == [
        ("1", "w0", "lost"),
        ("2-backup", "w2", "overtaken"),
    ]
