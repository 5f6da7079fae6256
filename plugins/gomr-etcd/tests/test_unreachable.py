"""What keeps an etcd from answering is told at once: the thing, the cause, the next step."""

import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from gomr_etcd import open_etcd
from gomr_etcd.calls import Calls, Login, rpc

from gomr import urls
from gomr.backends import FAILURE, Coordinator, Put, Range
from gomr.errors import CoordinatorError, Refused, Unknown
from gomr.playground.etcd import EtcdServer

NAMES = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"


def opened(url: str) -> Coordinator:
    return open_etcd(urls.parse(url))


def said(url: str) -> CoordinatorError:
    """Return the error of a transaction, the one try of which nobody repeats."""
    coordinator = opened(url)
    try:
        with pytest.raises(CoordinatorError) as failed:
            coordinator.transact((), [Put("k", b"x")])
        return failed.value
    finally:
        coordinator.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; of the first a server's certificate, one for another name, one that has expired, a client's."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text(NAMES)
    (folder / "other-names").write_text(NAMES.replace("IP:127.0.0.1", "DNS:elsewhere.example"))
    commands = [
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        for name in ("ca", "stranger")
    ]
    for name, names, days in (("server", "names", 2), ("misnamed", "other-names", 2), ("expired", "names", -1)):
        commands += [
            f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr",
            f"x509 -req -days {days} -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {names} "
            f"-out {name}.pem",
        ]
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, check=True)
    return folder


@pytest.fixture(scope="module")
def tls_hosts(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Servers that speak TLS, with each certificate; "demanding" wants a client's."""
    servers = {}
    for name in ("server", "misnamed", "expired", "demanding"):
        own = "server" if name == "demanding" else name
        options = ["--cert-file", f"{certificates}/{own}.pem", "--key-file", f"{certificates}/{own}.key"]
        if name == "demanding":
            options += ["--trusted-ca-file", f"{certificates}/ca.pem", "--client-cert-auth"]
        servers[name] = EtcdServer(tmp_path_factory.mktemp(name), options=tuple(options), tls=True)
        servers[name].start()
    yield {name: f"127.0.0.1:{server.client_ports[0]}" for name, server in servers.items()}
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="module")
def plain_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks without TLS."""
    etcd = EtcdServer(tmp_path_factory.mktemp("plain"))
    etcd.start()
    yield f"127.0.0.1:{etcd.client_ports[0]}"
    etcd.stop()


@pytest.mark.parametrize(
    ("server", "options", "cause", "step"),
    [
        ("server", "", "it speaks TLS", "add ?tls=1"),
        ("server", "?tls=1", "its certificate is of an unknown authority", "add ca=FILE"),
        ("server", "?ca={}/stranger.pem", "its certificate is of an unknown authority", "did not sign it"),
        ("misnamed", "?ca={}/ca.pem", "its certificate is for another name", "use a name that stands in it"),
        ("expired", "?ca={}/ca.pem", "its certificate has expired", "renew it"),
        ("demanding", "?ca={}/ca.pem", "it wants a client's certificate", "give cert=FILE&cert_key=FILE"),
    ],
)
def test_mistakes_of_tls_are_refused_at_once(
    tls_hosts: dict[str, str], certificates: Path, server: str, options: str, cause: str, step: str
) -> None:
    host = tls_hosts[server]
    error = said(f"etcd://{host}{options.format(certificates)}")
    assert isinstance(error, Refused), error
    assert f"etcd at {host}: {cause}" in str(error)
    assert step in str(error)


def test_tls_to_a_server_without_it_is_refused_at_once(plain_host: str, certificates: Path) -> None:
    error = said(f"etcd://{plain_host}?ca={certificates}/ca.pem")
    assert isinstance(error, Refused), error
    assert f"etcd at {plain_host}: it speaks without TLS; leave out tls" in str(error)


def test_what_waiting_may_mend_is_unknown_and_says_why() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = said(f"etcd://127.0.0.1:{unused.getsockname()[1]}")
    assert isinstance(error, Unknown)
    assert "nobody listens there" in str(error)
    error = said("etcd://no-such-host.invalid:2379")
    assert isinstance(error, Unknown)
    assert "its name is not known here" in str(error)


@pytest.fixture
def other_grpc() -> Iterator[str]:
    """A gRPC server of something else."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def http_server() -> Iterator[str]:
    """A web server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_of_something_else_is_named(other_grpc: str, http_server: str) -> None:
    error = said(f"etcd://{other_grpc},{http_server}")
    assert isinstance(error, Refused), error
    assert f"etcd at {other_grpc}: it is a server of something else" in str(error)
    assert f"etcd at {http_server}: a server of something else answers there" in str(error)


@pytest.mark.parametrize("odd", ["other_grpc", "http_server"])
def test_another_endpoint_is_asked_where_the_first_is_no_etcd(
    request: pytest.FixtureRequest, plain_host: str, odd: str
) -> None:
    first: str = request.getfixturevalue(odd)
    coordinator = opened(f"etcd://{first},{plain_host}/odd")
    assert coordinator.transact((), [Put("k", b"x"), Range("k")]).found[0].count == 1
    failed = [finding for finding in coordinator.diagnose() if finding.level == FAILURE]
    assert [finding.check for finding in failed] == [f"etcd {first}"]
    coordinator.close()


def test_a_role_for_the_namespace_alone_is_enough(tmp_path: Path) -> None:
    etcd = EtcdServer(tmp_path / "roles")
    etcd.start()
    try:
        host = f"127.0.0.1:{etcd.client_ports[0]}"
        root = Calls([host])
        reads_and_writes = 2
        permission = rpc.Permission(permType=reads_and_writes, key=b"/gomr/v1/mine/", range_end=b"/gomr/v1/mine0")
        for method, message in (
            ("UserAdd", rpc.AuthUserAddRequest(name="root", password="r")),
            ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
            ("RoleAdd", rpc.AuthRoleAddRequest(name="gomr")),
            ("RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="gomr", perm=permission)),
            ("UserAdd", rpc.AuthUserAddRequest(name="gomr", password="g")),
            ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="gomr", role="gomr")),
            ("AuthEnable", rpc.AuthEnableRequest()),
        ):
            root.ask("Auth", method, message, 5.0)
        root.close()
        coordinator = opened(f"etcd://gomr:g@{host}/mine")
        assert coordinator.transact((), [Put("k", b"x"), Range("k")]).found[0].count == 1
        assert [finding for finding in coordinator.diagnose() if finding.level == FAILURE] == []
        coordinator.close()
    finally:
        etcd.stop()


def test_a_login_that_etcd_does_not_take_is_refused(plain_host: str) -> None:
    calls = Calls([plain_host], Login("somebody", "a secret"))
    with pytest.raises(Refused, match="authentication is not enabled") as refused:
        calls.ask("KV", "Range", rpc.RangeRequest(key=b"k"), 5.0)
    assert "leave the user out of the URL" in str(refused.value)
    assert "a secret" not in str(refused.value)
    calls.close()
