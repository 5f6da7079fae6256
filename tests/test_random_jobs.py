"""Random jobs give what a plain loop gives; scripts/random-jobs runs more of them."""

import pytest

from tests.random_jobs.running import check

CASES, CASES_AT_A_TIME = 300, 50


@pytest.mark.parametrize("first", range(0, CASES, CASES_AT_A_TIME))
def test_random_jobs_equal_a_plain_loop(first: int) -> None:
    for seed in range(first, first + CASES_AT_A_TIME):
        check(seed)
