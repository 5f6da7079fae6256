"""Keys: their order, equality and partition."""

import itertools
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomr.job.errors import PairError
from gomr.job.keys import canonical, order, order_kind, partition_of, partitions_of, plain_key, sort_keys

text_with_surrogates = st.text(st.characters(codec=None, exclude_categories=()))
numbers = st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False))
keys = st.recursive(
    st.one_of(st.none(), numbers, text_with_surrogates, st.binary()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@given(keys, keys)
def test_equal_keys_and_only_those_have_equal_canonical_bytes(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@given(st.lists(keys, max_size=20), st.integers(1, 50))
def test_a_list_of_keys_is_dealt_like_each_of_them(some: list[Any], partitions: int) -> None:
    assert partitions_of(some, partitions) == [partition_of(key, partitions) for key in some]


@given(st.lists(numbers))
def test_numbers_are_compared_as_numbers(some: list[Any]) -> None:
    assert order_kind(some) is int
    assert sort_keys(some) == sorted(some)


@given(st.lists(keys))
def test_the_order_is_total_and_by_type_first(some: list[Any]) -> None:
    ordered = sort_keys(some)
    ranks = [order(key)[0] for key in ordered]
    assert ranks == sorted(ranks)
    assert all(order(one) <= order(other) for one, other in itertools.pairwise(ordered))


def test_the_partition_is_the_same_in_a_process_with_another_hash_seed() -> None:
    script = "from gomr.job.keys import partition_of as p; print([p(k, 1000) for k in (1, 'a', b'a', (1, 'x'), None)])"
    runs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_one_one_point_zero_and_true_share_a_partition() -> None:
    assert len({partition_of(key, 10_000) for key in (1, 1.0, True)}) == 1
    assert len({partition_of(key, 10_000) for key in ((1, 0.0), (1.0, -0.0))}) == 1


@pytest.mark.parametrize("key", [[1], {"a"}, float("nan"), (1, float("nan")), object(), 1j])
def test_other_keys_are_refused_with_a_sentence(key: object) -> None:
    with pytest.raises(PairError, match="key"):
        plain_key(key)
