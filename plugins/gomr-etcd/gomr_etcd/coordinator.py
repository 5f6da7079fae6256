"""The coordinator's transactions, leases and watches as etcd's."""

import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from gomr.backends import (
    Answer,
    Compare,
    Coordinator,
    Delete,
    Finding,
    Found,
    Item,
    Operation,
    Put,
    Version,
)
from gomr.errors import Refused, Unknown
from gomr_etcd import doctor
from gomr_etcd.calls import Calls, rpc
from gomr_etcd.watch import Watcher

ROOT = "/gomr/v1/"
WATCHERS_MAX = 100  # ranges watched at a time; a worker watches one


class EtcdCoordinator(Coordinator):
    """The keys below /gomr/v1/<namespace>/ of an etcd cluster."""

    lease_seconds_min = 2.0

    def __init__(self, calls: Calls, namespace: str) -> None:
        self._calls = calls
        self._prefix = f"{ROOT}{namespace}/"
        self._watchers: dict[tuple[str, str], Watcher] = {}
        self._lock = threading.Lock()

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,  # noqa: ARG002 - etcd syncs every transaction before it answers
    ) -> Answer:
        """Run one transaction."""
        request = rpc.TxnRequest(
            compare=[self._compare(item) for item in compares],
            success=[self._operation(item) for item in then],
            failure=[self._operation(item) for item in orelse],
        )
        reply = self._calls.ask("KV", "Txn", request, timeout_seconds)
        found = [self._found(item.response_range) for item in reply.responses if item.HasField("response_range")]
        return Answer(reply.succeeded, reply.header.revision, tuple(found))

    def grant_lease(self, seconds: float, *, timeout_seconds: float = 10.0) -> int:
        """Return a new lease; etcd counts whole seconds, so it may last up to one longer."""
        request = rpc.LeaseGrantRequest(TTL=math.ceil(seconds))
        return int(self._calls.ask("Lease", "LeaseGrant", request, timeout_seconds).ID)

    def keep_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> float:
        """Give the lease its whole time again."""

        def keep(channel: grpc.Channel, metadata: Any, seconds: float) -> float:
            requests = iter([rpc.LeaseKeepAliveRequest(ID=lease)])
            stream = rpc.LeaseStub(channel).LeaseKeepAlive(requests, timeout=seconds, metadata=metadata)
            try:
                return float(next(stream).TTL)
            except StopIteration:
                raise Unknown("etcd ended the stream without an answer") from None
            finally:
                stream.cancel()

        return self._calls.run(keep, timeout_seconds)

    def revoke_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> None:
        """End the lease and delete its keys."""
        request = rpc.LeaseRevokeRequest(ID=lease)
        try:
            self._calls.ask("Lease", "LeaseRevoke", request, timeout_seconds)
        except Refused as error:
            if "lease not found" not in str(error):
                raise

    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        """Wait for the watch of the range, which stays for the next caller."""
        with self._lock:
            watcher = self._watchers.get((key, end))
            if watcher is None:
                if len(self._watchers) >= WATCHERS_MAX:
                    self._watchers.pop(next(iter(self._watchers))).close()
                watcher = self._watchers[key, end] = Watcher(self._calls, self._key(key), self._end(end))
        watcher.wait(after_revision, timeout_seconds)

    def diagnose(self) -> Iterator[Finding]:
        """Ask every member how it is, and look for what hurts later."""
        yield from doctor.findings(self._calls, self._prefix)

    def close(self) -> None:
        """End the watches and close the channels."""
        with self._lock:
            watchers, self._watchers = list(self._watchers.values()), {}
        for watcher in watchers:
            watcher.close()
        self._calls.close()

    def _compare(self, compare: Compare) -> Any:
        key = self._key(compare.key)
        if isinstance(compare, Version):
            result = rpc.Compare.GREATER if compare.exists else rpc.Compare.EQUAL
            return rpc.Compare(key=key, target=rpc.Compare.VERSION, result=result, version=0)
        return rpc.Compare(key=key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=compare.revision)

    def _operation(self, operation: Operation) -> Any:
        key = self._key(operation.key)
        if isinstance(operation, Put):
            return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=operation.value, lease=operation.lease))
        end = self._end(operation.end)
        if isinstance(operation, Delete):
            return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=end))
        return rpc.RequestOp(
            request_range=rpc.RangeRequest(
                key=key,
                range_end=end,
                limit=operation.limit,
                keys_only=operation.keys_only,
                count_only=operation.count_only,
            )
        )

    def _found(self, reply: Any) -> Found:
        start = len(self._prefix)
        items = tuple(Item(item.key.decode()[start:], item.value, item.mod_revision) for item in reply.kvs)
        return Found(items, reply.count)

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode("ascii")

    def _end(self, end: str) -> bytes:
        return self._key(end) if end else b""
