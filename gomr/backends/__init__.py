"""The contracts of back ends: Storage, Coordinator, LogSink. Primitives, not policy.

The docstrings are the contract: what the caller may assume, and what an implementation MUST do; `gomr.testing` proves
it. Claiming, leases, fencing and stages are written once, in `gomr.scheduling`, on top of these.
"""

from gomr.backends.coordinator import (
    Answer,
    Compare,
    Coordinator,
    Delete,
    Found,
    Item,
    Operation,
    Put,
    Range,
    Revision,
    Version,
)
from gomr.backends.finding import FAILURE, OK, WARNING, Finding
from gomr.backends.logsink import LogSink
from gomr.backends.storage import (
    COPY_BYTES,
    KEY_BYTES_MAX,
    ObjectInfo,
    OldVersion,
    RequestCounter,
    Storage,
    Writer,
    checked_key,
    counted_requests,
    file_version,
)

__all__ = [
    "COPY_BYTES",
    "FAILURE",
    "KEY_BYTES_MAX",
    "OK",
    "WARNING",
    "Answer",
    "Compare",
    "Coordinator",
    "Delete",
    "Finding",
    "Found",
    "Item",
    "LogSink",
    "ObjectInfo",
    "OldVersion",
    "Operation",
    "Put",
    "Range",
    "RequestCounter",
    "Revision",
    "Storage",
    "Version",
    "Writer",
    "checked_key",
    "counted_requests",
    "file_version",
]
