"""What a job that sorts whole records says of them: `sort = gomr.Sort(...)` in a job file."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

from gomr.job.errors import DefinitionError

RECORD_BYTES_MAX = 512 * 1024  # of records of one length: a frame's worth; lines may be longer
WHOLE_RECORD = 2**31 - 1  # as the end of a key


@dataclass(frozen=True, slots=True)
class Sort:
    """What is sorted, and by what: records of `record_bytes`, or lines where it is 0; by the bytes `key` of each."""

    record_bytes: int = 0
    key: slice | None = None  # the whole record

    def __post_init__(self) -> None:
        """Raise DefinitionError for what is no length or no plain slice."""
        key = slice(None) if self.key is None else self.key
        ends = (key.start, key.stop) if isinstance(key, slice) and key.step is None else ("?",)
        if not all(end is None or (type(end) is int and 0 <= end < WHOLE_RECORD) for end in ends):
            raise DefinitionError(f"sort: key is {self.key!r}; it is a slice of bytes, such as slice(0, 10)")
        if type(self.record_bytes) is not int or not 0 <= self.record_bytes <= RECORD_BYTES_MAX:
            most = RECORD_BYTES_MAX
            raise DefinitionError(f"sort: record_bytes is {self.record_bytes!r}; it is 0 for lines, or up to {most}")

    @property
    def ends(self) -> tuple[int, int]:
        """The first byte of the key, and the one after its last."""
        key = self.key or slice(None)
        return key.start or 0, WHOLE_RECORD if key.stop is None else key.stop

    @property
    def key_of(self) -> Callable[[bytes], bytes] | None:
        """What returns the key of a record (of a line without its end); None where it is the record itself."""
        return None if self.ends == (0, WHOLE_RECORD) else itemgetter(slice(*self.ends))

    def facts(self) -> dict[str, int]:
        """Return what a submit needs to know: the length of records, 0 for lines, and the ends of the key."""
        start, stop = self.ends
        return {"record_bytes": self.record_bytes, "start": start, "stop": stop}

    def records(self, data: bytes) -> list[bytes]:
        """Return the records in `data`, lines without their ends."""
        if not self.record_bytes:
            return data[:-1].split(b"\n") if data else []
        return [data[at : at + self.record_bytes] for at in range(0, len(data), self.record_bytes)]

    def joined(self, records: list[bytes]) -> bytes:
        """Return records as `records` takes them."""
        end = b"" if self.record_bytes else b"\n"
        return end.join(records) + (end if records else b"")

    def count(self, data: bytes | memoryview) -> int:
        """Return how many records are in `data`."""
        return len(data) // self.record_bytes if self.record_bytes else bytes(data).count(b"\n")
