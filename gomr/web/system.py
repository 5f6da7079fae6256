"""What the cluster stands on, looked at from here: the coordinator, the storage, the log sinks, the plugins."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from gomr.backends import FAILURE, Range
from gomr.client import Client
from gomr.errors import CoordinatorError, GomrError, StorageError
from gomr.job.version import VERSION
from gomr.logs import CLOSE_SECONDS_MAX
from gomr.observer.reading import read_now
from gomr.scheduling import keys
from gomr.urls import parse

SIZED_OBJECTS_MAX = 10_000  # a storage of more is said to hold at least so much: to list it all would cost money
ALL_KEYS = Range("\x01", "\x7f", count_only=True)


def system(client: Client) -> dict[str, Any]:
    """Return health, latency in seconds, size and requests of each part, and the plugins with their hooks."""
    return {
        "version": VERSION,
        "parts": [_part("coordinator", client, _coordinator), _part("storage", client, _storage), *_sinks(client)],
        "plugins": [asdict(info) for info in client.plugins.loaded()],
    }


def _part(name: str, client: Client, look: Callable[[Client], dict[str, Any]]) -> dict[str, Any]:
    value = client.config.lookup(name)
    shown = {"part": name, "url": str(parse(client.config.text(name))), "origin": value.origin, "error": ""}
    try:
        return {**shown, **look(client)}
    except (GomrError, CoordinatorError, StorageError, OSError) as error:
        return {**shown, "error": str(error)}


def _coordinator(client: Client) -> dict[str, Any]:
    started = time.monotonic()
    read_now(client.cluster, [Range(keys.CLUSTER)])
    seconds = time.monotonic() - started
    (found,) = read_now(client.cluster, [ALL_KEYS])
    return {"seconds": round(seconds, 5), "keys": found.count}


def _storage(client: Client) -> dict[str, Any]:
    storage = client.plugins.open_storage(client.config.text("storage"))  # one of its own: it asks only once
    try:
        started = time.monotonic()
        storage.stat(keys.CLUSTER_OBJECT)
        seconds = time.monotonic() - started
        sizes = [info.size for info in islice(storage.list(""), SIZED_OBJECTS_MAX)]
    finally:
        storage.close()
    return {
        "seconds": round(seconds, 5),
        "objects": len(sizes),
        "bytes": sum(sizes),
        "is_partial": len(sizes) == SIZED_OBJECTS_MAX,
        "requests": client.cluster.storage.requests.counts(),
    }


def _sinks(client: Client) -> Iterator[dict[str, Any]]:
    for url in client.config.items("logs") or []:
        shown = {"part": "log sink", "url": str(parse(url)), "origin": client.config.lookup("logs").origin, "error": ""}
        try:
            sink = client.plugins.open_log_sink(url)
            started = time.monotonic()
            findings = [*sink.diagnose()]
            seconds = time.monotonic() - started
            sink.close(CLOSE_SECONDS_MAX)
            errors = [finding.detail for finding in findings if finding.level == FAILURE]
            yield {**shown, "seconds": round(seconds, 5), "reads": sink.can_read, "error": "; ".join(errors)}
        except (GomrError, OSError) as error:
            yield {**shown, "error": str(error)}
