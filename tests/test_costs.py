"""What requests cost."""

import json

import pytest

from gomr.costs import Prices, costs_of
from tests.conftest import EXAMPLES, Gomr


def test_a_bill() -> None:
    counters = {
        "storage.put": 2000,
        "storage.get": 5000,
        "storage.head": 1000,
        "storage.get_bytes": 3 * 10**9,
        "other": 1,
    }
    bill = {cost.name: cost.dollars for cost in costs_of(counters, Prices(0.005, 0.0004, 0.09))}
    assert bill == pytest.approx({"get_bytes": 0.27, "put": 0.01, "get": 0.002, "head": 0.0004})
    assert list(bill) == ["get_bytes", "put", "get", "head"]


def test_the_cost_of_a_job(gomr: Gomr) -> None:
    (gomr.folder / "in.txt").write_text("a b\nb\n")
    gomr("run", EXAMPLES / "wordcount.py", "in.txt", "-o", "out")
    job = gomr("jobs").stdout.split()[0]
    facts = json.loads(gomr("status", job, "--cost", "--put-price", 1000, "--json").stdout)
    (puts,) = [cost for cost in facts["cost"] if cost["name"] == "put"]
    assert puts["amount"] == facts["counters"]["storage.put"] == 2
    assert puts["dollars"] == 2
    shown = gomr("status", job, "--cost").stdout
    assert "$0.00001" in shown
    assert "cost" not in json.loads(gomr("status", job, "--json").stdout)
