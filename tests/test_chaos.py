"""A short run of chaos on real servers; scripts/chaos runs for as long as you like."""

import secrets

import pytest

from tests.chaos import campaign

MINUTES = 0.5


@pytest.mark.timeout(900)
@pytest.mark.parametrize("members", [1, 3])
def test_results_under_chaos_are_those_without(members: int) -> None:
    seed = secrets.randbelow(10**9)
    report = campaign.run(MINUTES, seed, members)
    assert not report.differences, f"scripts/chaos --seed {seed} --members {members}\n" + "\n".join(report.lines())
    assert report.jobs >= 1
    assert sum(report.faults.values()) >= 2
