"""What the requests that a job made of its storage cost, at prices that the user names."""

from collections.abc import Mapping
from dataclasses import dataclass

PUT_DOLLARS = 0.005  # a thousand; list prices of AWS S3 Standard, us-east-1, in 2026
GET_DOLLARS = 0.0004
PRICED_AS_PUT = ("put", "list")  # S3 prices a LIST as it does a PUT
PRICED_AS_GET = ("get", "head")  # a DELETE costs nothing


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars for a thousand requests that write or list, for a thousand that read, and for a GB that is read."""

    put_dollars: float = PUT_DOLLARS
    get_dollars: float = GET_DOLLARS
    transfer_dollars: float = 0.0  # within a region it is free


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of a bill: `amount` requests, or bytes, and what they cost."""

    name: str
    amount: int
    dollars: float


def costs_of(counters: Mapping[str, int], prices: Prices) -> list[Cost]:
    """Return the bill for the `storage.*` counters of a job (JobStatus.counters), the dearest first."""
    unit_dollars = dict.fromkeys(PRICED_AS_PUT, prices.put_dollars / 1000)
    unit_dollars |= dict.fromkeys(PRICED_AS_GET, prices.get_dollars / 1000)
    unit_dollars["get_bytes"] = prices.transfer_dollars / 1e9
    found = [
        Cost(name, counters[f"storage.{name}"], counters[f"storage.{name}"] * dollars)
        for name, dollars in unit_dollars.items()
        if counters.get(f"storage.{name}")
    ]
    return sorted(found, key=lambda cost: -cost.dollars)
