"""gomr-etcd: the package etcd3 beside today's protobuf, failover, authentication, TLS, a server that is away."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gomr_etcd import open_etcd
from gomr_etcd.calls import Calls, Login, rpc

from gomr import urls
from gomr.backends import FAILURE, OK, WARNING, Coordinator, Put, Range, Version
from gomr.errors import ConfigurationError, CoordinatorError, OutOfSpace, Refused, Unknown
from gomr.playground.etcd import EtcdServer
from gomr.testing import open_coordinator

WAIT_SECONDS = 60.0


def opened(url: str) -> Coordinator:
    return open_coordinator(url)


def eventually(check: Callable[[], bool]) -> None:
    """Wait for `check` to hold, asking again what is Unknown."""
    started = time.monotonic()
    while True:
        try:
            if check():
                return
        except Unknown:
            pass
        assert time.monotonic() < started + WAIT_SECONDS, "it did not happen"
        time.sleep(0.05)


def test_etcd3_imports_beside_any_protobuf() -> None:
    """As a plain import of etcd3 0.12.0 does not; no variable is set, and no protobuf is held back."""
    plain = "import etcd3"
    ours = "from gomr_etcd.stubs import load; load(); import etcd3; etcd3.client; print(etcd3.etcdrpc.KVStub.__name__)"
    import google.protobuf

    if int(google.protobuf.__version__.split(".")[0]) > 3:
        assert subprocess.run([sys.executable, "-c", plain], capture_output=True, check=False).returncode != 0
    done = subprocess.run([sys.executable, "-W", "error", "-c", ours], capture_output=True, text=True, check=True)
    assert done.stdout == "KVStub\n"


def test_the_package_etcd3_itself_works_through_the_plugin(etcd_server_url: str) -> None:
    host, _, port = urls.parse(etcd_server_url).host.partition(":")
    script = f"""
from gomr_etcd.stubs import load
load()
import etcd3
client = etcd3.client({host!r}, {port})
client.put("/gomr-test/etcd3", "x")
print(client.get("/gomr-test/etcd3")[0], client.delete("/gomr-test/etcd3"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "b'x' True\n"


def test_the_messages_are_etcds() -> None:
    request = rpc.TxnRequest(compare=[rpc.Compare(key=b"k", target=rpc.Compare.VERSION, version=0)])
    assert rpc.TxnRequest.FromString(request.SerializeToString()) == request
    assert rpc.NOSPACE == 1


@pytest.mark.parametrize("broken", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
def test_another_endpoint_takes_over_from_the_leader(own_etcd_of_three: EtcdServer, broken: signal.Signals) -> None:
    etcd = own_etcd_of_three
    leader = etcd.leader()
    ports = [etcd.client_ports[leader], *(port for port in etcd.client_ports if port != etcd.client_ports[leader])]
    coordinator = opened("etcd://" + ",".join(f"127.0.0.1:{port}" for port in ports))
    lease = coordinator.grant_lease(30.0)
    coordinator.transact((), [Put("before", b"x", lease)])
    etcd.members[leader].send(broken)
    eventually(lambda: coordinator.transact((), [Put("after", b"x")], timeout_seconds=2.0).ok)
    eventually(lambda: coordinator.keep_lease(lease) > 0)
    eventually(lambda: coordinator.transact((), [Range("a", "c", keys_only=True)]).found[0].count == 2)
    if broken == signal.SIGSTOP:
        etcd.members[leader].send(signal.SIGCONT)
    coordinator.close()


def test_without_a_majority_it_is_unknown_and_then_goes_on(own_etcd_of_three: EtcdServer) -> None:
    etcd = own_etcd_of_three
    coordinator = opened(etcd.url)
    coordinator.transact((), [Put("before", b"x")])
    for member in etcd.members[:2]:
        member.kill()
    with pytest.raises(Unknown):
        for _ in range(4):  # whichever endpoint answers, it knows no majority
            coordinator.transact((), [Put("during", b"x")], timeout_seconds=2.0)
    etcd.start()
    eventually(lambda: coordinator.transact((), [Put("after", b"x")]).ok)
    coordinator.close()


def test_a_wait_wakes_up_after_a_restart_of_the_server(own_etcd: EtcdServer) -> None:
    """The watch is made anew, and what it missed counts as a change."""
    coordinator, other = opened(own_etcd.url), opened(own_etcd.url)
    revision = coordinator.transact((), [Put("q/1", b"x")]).revision
    coordinator.wait("q/", "q0", revision, 0.5)
    own_etcd.members[0].kill()
    own_etcd.start()
    eventually(lambda: other.transact((), [Put("q/2", b"x")]).ok)

    def woken() -> bool:
        started = time.monotonic()
        coordinator.wait("q/", "q0", revision, 5.0)
        return time.monotonic() - started < 5.0

    eventually(woken)
    coordinator.close()
    other.close()


def test_a_paused_server_is_noticed_by_a_watch(own_etcd: EtcdServer) -> None:
    coordinator = opened(own_etcd.url)
    revision = coordinator.transact((), [Put("q/1", b"x")]).revision
    coordinator.wait("q/", "q0", revision, 0.5)
    own_etcd.members[0].send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(Unknown):
            while time.monotonic() - started < WAIT_SECONDS:
                coordinator.wait("q/", "q0", revision, 1.0)
    finally:
        own_etcd.members[0].send(signal.SIGCONT)
    eventually(lambda: coordinator.transact((), [Range("q/1")]).ok)
    coordinator.close()


def test_a_server_that_is_away_costs_no_processor_time(own_etcd: EtcdServer) -> None:
    coordinator = opened(own_etcd.url)
    coordinator.wait("q/", "q0", 0, 0.2)
    own_etcd.members[0].kill()
    used, started = time.process_time(), time.monotonic()
    with pytest.raises(Unknown):
        while time.monotonic() - started < 4.0:
            coordinator.wait("q/", "q0", 10**9, 0.5)
    while time.monotonic() - started < 4.0:
        with pytest.raises(Unknown):
            coordinator.wait("q/", "q0", 10**9, 0.5)
    assert time.process_time() - used < 0.8, "a busy loop"  # a fifth of a processor; measured 0.02 s
    coordinator.close()


def test_a_full_etcd_refuses_and_says_so(tmp_path: Path) -> None:
    etcd = EtcdServer(tmp_path / "full", options=("--quota-backend-bytes", "1000000"))
    etcd.start()
    coordinator = opened(etcd.url)
    try:
        with pytest.raises(OutOfSpace, match="NOSPACE"):
            for number in range(2000):
                coordinator.transact((), [Put(f"k{number}", b"x" * 60_000)])
        assert coordinator.transact((), [Range("k0")]).found[0].count == 1
        findings = {finding.check: finding for finding in coordinator.diagnose()}
        member = findings[f"etcd 127.0.0.1:{etcd.client_ports[0]}"]
        assert (member.level, "NOSPACE" in member.detail) == (FAILURE, True)
    finally:
        coordinator.close()
        etcd.stop()


def test_doctor_sees_what_hurts_later(own_etcd: EtcdServer) -> None:
    coordinator = opened(own_etcd.url)
    levels = {finding.check: finding.level for finding in coordinator.diagnose()}
    assert levels[f"etcd 127.0.0.1:{own_etcd.client_ports[0]}"] == OK
    calls = Calls([f"127.0.0.1:{own_etcd.client_ports[0]}"])
    for _ in range(100):
        calls.ask("KV", "Put", rpc.PutRequest(key=b"/other"), 5.0)
    (finding,) = [finding for finding in coordinator.diagnose() if finding.check == "etcd auto-compaction"]
    assert (finding.level, "nothing was compacted so far" in finding.detail) == (WARNING, True)
    calls.ask("KV", "Compact", rpc.CompactionRequest(revision=90), 5.0)
    (finding,) = [finding for finding in coordinator.diagnose() if finding.check == "etcd auto-compaction"]
    assert (finding.level, "older ones are compacted" in finding.detail) == (OK, True)
    calls.close()
    coordinator.close()


@pytest.mark.parametrize(("alarm", "words"), [(rpc.CORRUPT, "CORRUPT: its data"), (rpc.NOSPACE, "NOSPACE: compact")])
def test_an_alarm_is_told_by_its_kind(own_etcd: EtcdServer, alarm: int, words: str) -> None:
    calls = Calls([f"127.0.0.1:{own_etcd.client_ports[0]}"])
    calls.ask("Maintenance", "Alarm", rpc.AlarmRequest(action=rpc.AlarmRequest.ACTIVATE, alarm=alarm), 5.0)
    coordinator = opened(own_etcd.url)
    member = f"etcd 127.0.0.1:{own_etcd.client_ports[0]}"
    (finding,) = [finding for finding in coordinator.diagnose() if finding.check == member]
    assert (finding.level, words in finding.detail) == (FAILURE, True)
    calls.close()
    coordinator.close()


def test_an_answer_that_is_too_large_is_unknown(own_etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC calls it RESOURCE_EXHAUSTED, as etcd does a full disk; but this transaction was applied."""
    options = [("grpc.max_receive_message_length", 100_000)]
    monkeypatch.setattr("gomr_etcd.calls.CHANNEL_OPTIONS", options)
    coordinator = opened(own_etcd.url)
    monkeypatch.undo()
    coordinator.transact((), [Put("large", b"x" * 200_000)])
    with pytest.raises(Unknown):
        coordinator.transact((), [Put("applied", b"x"), Range("large")])
    assert coordinator.transact((), [Range("applied")]).found[0].count == 1
    coordinator.close()


def test_a_member_that_is_down_is_named(own_etcd_of_three: EtcdServer) -> None:
    own_etcd_of_three.members[1].kill()
    coordinator = opened(own_etcd_of_three.url)

    def down() -> list[str]:
        return [finding.check for finding in coordinator.diagnose() if finding.level == FAILURE]

    # Where it was the leader, the others know none for a moment.
    eventually(lambda: down() == [f"etcd 127.0.0.1:{own_etcd_of_three.client_ports[1]}"])
    coordinator.close()


def enable_logins(etcd: EtcdServer) -> None:
    calls = Calls([f"127.0.0.1:{etcd.client_ports[0]}"])
    for method, request in (
        ("UserAdd", rpc.AuthUserAddRequest(name="root", password="a secret")),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="root")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
        ("AuthEnable", rpc.AuthEnableRequest()),
    ):
        calls.ask("Auth", method, request, 5.0)
    calls.close()


def test_a_change_of_users_ends_no_login(tmp_path: Path) -> None:
    """With tokens of JWT, every change of a user makes all tokens old."""
    for command in ("genrsa -out key.pem 2048", "rsa -in key.pem -pubout -out key.pub"):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, capture_output=True, check=True)
    token = f"jwt,pub-key={tmp_path}/key.pub,priv-key={tmp_path}/key.pem,sign-method=RS256,ttl=10m"
    etcd = EtcdServer(tmp_path / "jwt", options=("--auth-token", token))
    etcd.start()
    try:
        enable_logins(etcd)
        host = f"127.0.0.1:{etcd.client_ports[0]}"
        coordinator = opened(f"etcd://root:a%20secret@{host}")
        lease = coordinator.grant_lease(30.0)
        admin = Calls([host], Login("root", "a secret"))
        admin.ask("Auth", "UserAdd", rpc.AuthUserAddRequest(name="another", password="x"), 5.0)
        admin.close()
        assert coordinator.transact((), [Put("k", b"x", lease), Range("k")]).found[0].count == 1
        eventually(lambda: coordinator.keep_lease(lease) > 0)
        coordinator.close()
    finally:
        etcd.stop()


def test_user_and_password(own_etcd: EtcdServer) -> None:
    enable_logins(own_etcd)
    host = f"127.0.0.1:{own_etcd.client_ports[0]}"
    coordinator = opened(f"etcd://root:a%20secret@{host}")
    lease = coordinator.grant_lease(30.0)
    assert coordinator.transact([Version("k", exists=False)], [Put("k", b"x", lease)]).ok
    own_etcd.members[0].kill()  # a server that was started anew knows no token
    own_etcd.start()
    eventually(lambda: coordinator.transact((), [Range("k")]).found[0].count == 1)
    assert coordinator.keep_lease(lease) > 0
    timer = threading.Timer(0.3, lambda: coordinator.transact((), [Put("q/1", b"x")]))
    timer.start()
    started = time.monotonic()
    coordinator.wait("q/", "q0", coordinator.transact((), [Range("q/")]).revision, 30.0)
    assert time.monotonic() - started < 29.0
    timer.join()
    coordinator.close()
    for login in ("", "root:wrong@"):
        stranger = opened(f"etcd://{login}{host}")
        with pytest.raises(Refused) as caught:
            stranger.transact((), [Put("k", b"x")])
        assert "wrong" not in str(caught.value)
        stranger.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A certificate authority, and a server's and a client's certificate of it."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    commands = ["req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"]
    for name in ("server", "client"):
        commands += [
            f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr",
            f"x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out {name}.pem",
        ]
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, check=True)
    return folder


@pytest.fixture
def etcd_with_tls(certificates: Path, tmp_path: Path) -> Iterator[EtcdServer]:
    files = ("--cert-file", "server.pem"), ("--key-file", "server.key"), ("--trusted-ca-file", "ca.pem")
    options = [word for option, name in files for word in (option, str(certificates / name))]
    etcd = EtcdServer(tmp_path / "tls", options=(*options, "--client-cert-auth"), tls=True)
    etcd.start()
    yield etcd
    etcd.stop()


def test_tls_with_client_certificates(etcd_with_tls: EtcdServer, certificates: Path) -> None:
    host = f"127.0.0.1:{etcd_with_tls.client_ports[0]}"
    files = f"cert={certificates}/client.pem&cert_key={certificates}/client.key"
    coordinator = opened(f"etcd://{host}?ca={certificates}/ca.pem&{files}")
    assert coordinator.transact((), [Put("k", b"x"), Range("k")]).found[0].count == 1
    coordinator.close()
    for options in ("", "?tls=1", f"?ca={certificates}/ca.pem"):  # no TLS, an unknown authority, no certificate
        stranger = opened(f"etcd://{host}{options}")
        with pytest.raises(CoordinatorError):
            stranger.transact((), [Put("k", b"x")], timeout_seconds=3.0)
        stranger.close()


@pytest.mark.parametrize(
    "text",
    [
        "etcd://host:0",
        "etcd://:2379",
        "etcd://host/bad namespace",
        "etcd://host?tls=yes",
        "etcd://host?cert=/x",
        "etcd://host?ca=/no/such/file",
        "etcd://host?timeout=1",
    ],
)
def test_wrong_urls_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        open_etcd(urls.parse(text))


def test_children_that_are_executed_do_not_disturb_the_connection(etcd_url: str) -> None:
    """Workers start their tasks by exec, never by a fork of themselves; calls go on meanwhile."""
    coordinator = opened(etcd_url)
    ended = threading.Event()
    problems: list[BaseException] = []

    def call() -> None:
        try:
            while not ended.is_set():
                coordinator.transact((), [Put("k", b"x")])
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(100):
            done = subprocess.run(["true"], capture_output=True, check=True)
            assert done.stderr == b""
    finally:
        ended.set()
        thread.join()
    assert not problems
    coordinator.close()
