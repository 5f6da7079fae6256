"""What `gomr doctor` asks of an etcd cluster: what works today and hurts later."""

import time
from collections.abc import Iterator

import grpc

from gomr.backends import FAILURE, OK, WARNING, Finding
from gomr.errors import CoordinatorError
from gomr_etcd.calls import CALL_SECONDS_MAX, Calls, rpc

SPACE_WARNING_BYTES = 1024**3  # half of etcd's default quota of 2 GiB
ROUND_TRIP_WARNING_SECONDS = 0.1
WRITE_WARNING_SECONDS = 0.25  # a write waits for a sync of a majority's disks; etcd itself warns from 0.1 s on
MEASURED = 10
HISTORY_REVISIONS_MAX = 1_000_000  # some 500 MB of a job's claims and commits: far more than minutes of them
PROBE_KEY = "doctor-probe"  # in the namespace, where a role need not reach further


def findings(calls: Calls, prefix: str) -> Iterator[Finding]:
    """Yield the findings, a few for each member and then those of the cluster; `prefix` is the namespace's."""
    probe = f"{prefix}{PROBE_KEY}".encode()
    for endpoint in calls.endpoints:
        yield from _member(endpoint, calls.at(endpoint))
    for check in (_latency, _compaction):
        try:
            yield check(calls, probe)
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
        yield Finding(name, FAILURE, _alarm({alarm.alarm for alarm in alarms.alarms}))
    elif status.dbSize > SPACE_WARNING_BYTES:
        yield Finding(name, WARNING, f"{size} are in use; its quota is 2 GiB unless --quota-backend-bytes says more")
    else:
        yield Finding(name, OK, f"version {status.version}, {size} in use")


def _latency(calls: Calls, probe: bytes) -> Finding:
    """Time reads, which cross the network, and writes, which wait for disks."""
    reads, writes = [], []
    for _ in range(MEASURED):
        started = time.monotonic()
        calls.ask("KV", "Range", rpc.RangeRequest(key=probe), CALL_SECONDS_MAX)
        read = time.monotonic()
        calls.ask("KV", "Put", rpc.PutRequest(key=probe, value=b""), CALL_SECONDS_MAX)
        reads.append(read - started)
        writes.append(time.monotonic() - read)
    calls.ask("KV", "DeleteRange", rpc.DeleteRangeRequest(key=probe), CALL_SECONDS_MAX)
    read, write = sorted(reads)[MEASURED // 2], sorted(writes)[MEASURED // 2]
    slow = read > ROUND_TRIP_WARNING_SECONDS or write > WRITE_WARNING_SECONDS
    text = f"median of {MEASURED}: a read {read * 1000:.1f} ms, a write with its disk sync {write * 1000:.1f} ms"
    return Finding("etcd latency", WARNING if slow else OK, text)


def _alarm(kinds: set[int]) -> str:
    """Return what an alarm means, and what to do about it."""
    if rpc.CORRUPT in kinds:
        return (
            "it has raised the alarm CORRUPT: its data differs from its peers'; replace this member or restore a backup"
        )
    if rpc.NOSPACE in kinds:
        return "it has raised the alarm NOSPACE: compact, defragment, then `etcdctl alarm disarm`"
    return f"it has raised an alarm: {sorted(kinds)}; see `etcdctl alarm list`"


def _compaction(calls: Calls, probe: bytes) -> Finding:
    """See how many revisions are kept: etcd does not say whether it compacts by itself."""
    name = "etcd auto-compaction"
    latest = calls.ask("KV", "Range", rpc.RangeRequest(key=probe), CALL_SECONDS_MAX).header.revision
    compacted = _compacted_revision(calls, probe)
    kept = f"{latest - compacted} revisions are kept"
    if compacted and latest - compacted < HISTORY_REVISIONS_MAX:
        return Finding(name, OK, f"{kept}, older ones are compacted")
    told = kept if compacted else f"nothing was compacted so far, {kept}"
    return Finding(
        name,
        WARNING,
        f"{told}; where etcd runs without --auto-compaction-mode=periodic --auto-compaction-retention=5m, it fills "
        "its quota some day",
    )


def _compacted_revision(calls: Calls, probe: bytes) -> int:
    """Return the revision up to which history is gone: a watch of an older one is told; 0 for none."""
    channel, metadata, translated = calls.channel()
    create = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=probe, start_revision=1))
    stream = rpc.WatchStub(channel).Watch(iter([create]), metadata=metadata, timeout=CALL_SECONDS_MAX)
    try:
        for reply in stream:
            if reply.compact_revision or not reply.created:
                return int(reply.compact_revision)
    except grpc.RpcError as error:
        raise translated(error) from error
    finally:
        stream.cancel()
    return 0
