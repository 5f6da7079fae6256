"""What `gomr doctor` asks of an etcd cluster: what works today and hurts later."""

import time
from collections.abc import Iterator

from gomr.backends import FAILURE, OK, WARNING, Finding
from gomr.errors import CoordinatorError, Refused
from gomr_etcd.calls import CALL_SECONDS_MAX, Calls, rpc

SPACE_WARNING_BYTES = 1024**3  # half of etcd's default quota of 2 GiB
ROUND_TRIP_WARNING_SECONDS = 0.1
WRITE_WARNING_SECONDS = 0.25  # a write waits for a sync of a majority's disks; etcd itself warns from 0.1 s on
MEASURED = 10
HISTORY_REVISIONS = 10_000  # with fewer, nothing can be said of compaction
PROBE_KEY = b"/gomr/v1/doctor-probe"


def findings(calls: Calls) -> Iterator[Finding]:
    """Yield the findings, a few for each member and then those of the cluster."""
    for endpoint in calls.endpoints:
        yield from _member(endpoint, calls.at(endpoint))
    for check in (_latency, _compaction):
        try:
            yield check(calls)
        except CoordinatorError as error:
            yield Finding("etcd", FAILURE, str(error))


def _member(endpoint: str, member: Calls) -> Iterator[Finding]:
    name = f"etcd {endpoint}"
    try:
        status = member.ask("Maintenance", "Status", rpc.StatusRequest(), CALL_SECONDS_MAX)
        alarms = member.ask("Maintenance", "Alarm", rpc.AlarmRequest(), CALL_SECONDS_MAX)
    except CoordinatorError as error:
        yield Finding(name, FAILURE, str(error))
        return
    finally:
        member.close()
    size = f"{status.dbSize / 1024**2:.1f} MiB"
    if not status.leader:
        yield Finding(name, FAILURE, "it knows no leader: most members are down or cut off")
    elif alarms.alarms:
        yield Finding(
            name, FAILURE, "it has raised an alarm (NOSPACE): compact, defragment, then `etcdctl alarm disarm`"
        )
    elif status.dbSize > SPACE_WARNING_BYTES:
        yield Finding(name, WARNING, f"{size} are in use; its quota is 2 GiB unless --quota-backend-bytes says more")
    else:
        yield Finding(name, OK, f"version {status.version}, {size} in use")


def _latency(calls: Calls) -> Finding:
    """Time reads, which cross the network, and writes, which wait for disks."""
    reads, writes = [], []
    for _ in range(MEASURED):
        started = time.monotonic()
        calls.ask("KV", "Range", rpc.RangeRequest(key=PROBE_KEY), CALL_SECONDS_MAX)
        read = time.monotonic()
        calls.ask("KV", "Put", rpc.PutRequest(key=PROBE_KEY, value=b""), CALL_SECONDS_MAX)
        reads.append(read - started)
        writes.append(time.monotonic() - read)
    calls.ask("KV", "DeleteRange", rpc.DeleteRangeRequest(key=PROBE_KEY), CALL_SECONDS_MAX)
    read, write = sorted(reads)[MEASURED // 2], sorted(writes)[MEASURED // 2]
    slow = read > ROUND_TRIP_WARNING_SECONDS or write > WRITE_WARNING_SECONDS
    text = f"median of {MEASURED}: a read {read * 1000:.1f} ms, a write with its disk sync {write * 1000:.1f} ms"
    return Finding("etcd latency", WARNING if slow else OK, text)


def _compaction(calls: Calls) -> Finding:
    """See whether old revisions are gone: etcd does not say whether it compacts by itself."""
    name = "etcd auto-compaction"
    latest = calls.ask("KV", "Range", rpc.RangeRequest(key=PROBE_KEY), CALL_SECONDS_MAX).header.revision
    if latest < HISTORY_REVISIONS:
        return Finding(
            name, OK, f"cannot be told yet at revision {latest}; run etcd with --auto-compaction-retention=5m"
        )
    try:
        calls.ask("KV", "Range", rpc.RangeRequest(key=PROBE_KEY, revision=2), CALL_SECONDS_MAX)
    except Refused as error:
        if "compacted" in str(error):
            return Finding(name, OK, "old revisions are compacted")
        raise
    return Finding(
        name,
        WARNING,
        f"all {latest} revisions are still there: it fills its quota some day; run etcd with "
        "--auto-compaction-mode=periodic --auto-compaction-retention=5m",
    )
