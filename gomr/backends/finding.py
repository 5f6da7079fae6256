"""What a check of `gomr doctor` found."""

from dataclasses import dataclass

OK, WARNING, FAILURE = "ok", "warn", "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: `level` is OK, WARNING (hurts later) or FAILURE (does not work)."""

    check: str
    level: str
    detail: str
