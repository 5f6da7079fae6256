"""Watches one range of keys from a thread of its own, and wakes those who wait for a change of it."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from gomr.errors import CoordinatorError, Unknown
from gomr_etcd.calls import Calls, rpc

RECONNECT_SECONDS = 1.0  # between tries, so that a server that is down costs nothing


class Watcher:
    """A watch that is made anew whenever it breaks. What it missed meanwhile counts as a change: it is a hint."""

    def __init__(self, calls: Calls, key: bytes, end: bytes) -> None:
        self._calls = calls
        self._key = key
        self._end = end
        self._changed = threading.Condition()
        self._covered_from = 0  # changes of the range after this revision are known; 0: no watch stands
        self._latest = 0  # the last revision that changed the range, as far as known
        self._error: CoordinatorError | None = None
        self._stream: Any = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="etcd-watch", daemon=True)
        self._thread.start()

    def wait(self, after_revision: int, timeout_seconds: float) -> None:
        """Return when the range may have changed since `after_revision`, or when the time is over.

        Raises Unknown, at the end of the time, where the watch does not stand.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                stands = self._covered_from > 0
                if stands and (self._latest > after_revision or self._covered_from > after_revision + 1):
                    return
                self._changed.wait(left)
            if self._covered_from == 0 and self._error is not None:
                raise self._error

    def close(self) -> None:
        """End the watch."""
        self._closed.set()
        if self._stream is not None:
            self._stream.cancel()
        self._thread.join(timeout=RECONNECT_SECONDS)

    def _run(self) -> None:
        while not self._closed.is_set():
            channel, metadata, translated = self._calls.channel()
            requests = _Requests(rpc.WatchCreateRequest(key=self._key, range_end=self._end))
            self._stream = rpc.WatchStub(channel).Watch(requests, metadata=metadata)
            error: CoordinatorError | None = None
            try:
                for reply in self._stream:
                    self._take(reply)
                    if reply.canceled:
                        self._calls.log_in_again()  # a login that is over ends watches, and calls may all go well
                        error = Unknown(f"etcd ended the watch: {reply.cancel_reason or 'no reason given'}")
                        break
            except grpc.RpcError as failure:
                error = translated(failure)
            finally:
                requests.close()
            with self._changed:
                self._covered_from = 0
                self._error = error
                self._changed.notify_all()
            self._closed.wait(RECONNECT_SECONDS)

    def _take(self, reply: Any) -> None:
        with self._changed:
            if reply.created:
                self._covered_from = reply.header.revision + 1
            if reply.events:
                self._latest = max(event.kv.mod_revision for event in reply.events)
            self._changed.notify_all()


class _Requests(Iterator[Any]):
    """The requests of one watch stream: one, and then silence until the stream ends."""

    def __init__(self, create: Any) -> None:
        self._first: Any = rpc.WatchRequest(create_request=create)
        self._closed = threading.Event()

    def __next__(self) -> Any:
        """Return the request, then block: an end of the requests would end the watch."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        self._closed.wait()
        raise StopIteration

    def close(self) -> None:
        """Let go of the thread that waits for a next request."""
        self._closed.set()
