"""An etcd of one member or of several, on this machine."""

import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from gomr.errors import UnavailableError
from gomr.playground.process import Program, ServerProcess, remembered_ports

PROGRAM = Program("etcd", "GOMR_ETCD_PROGRAM", "on Debian or Ubuntu: apt-get install etcd-server")
COMPACTION = "5m"  # history that nobody reads; without it etcd fills its quota
LEADER_SECONDS_MAX = 60.0


class EtcdServer:
    """A cluster of `members` etcd processes below `folder`, which remembers their ports."""

    def __init__(self, folder: Path, members: int = 1, options: tuple[str, ...] = (), *, tls: bool = False) -> None:
        ports = remembered_ports(folder, 3 * members)
        self.client_ports, peers = ports[:members], ports[members : 2 * members]
        self._metrics_ports = ports[2 * members :]  # without TLS in any case
        scheme = "https" if tls else "http"
        initial = ",".join(f"m{number}=http://127.0.0.1:{port}" for number, port in enumerate(peers))
        self.members = [
            ServerProcess(
                folder / f"m{number}",
                PROGRAM,
                [
                    *("--name", f"m{number}", "--data-dir", "data"),
                    *("--listen-client-urls", f"{scheme}://127.0.0.1:{client}"),
                    *("--advertise-client-urls", f"{scheme}://127.0.0.1:{client}"),
                    *("--listen-metrics-urls", f"http://127.0.0.1:{metrics}"),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-cluster", initial, "--initial-cluster-state", "new"),
                    *("--auto-compaction-mode", "periodic", "--auto-compaction-retention", COMPACTION),
                    *options,
                ],
                lambda port=metrics: _is_up(port),  # type: ignore[misc]
            )
            for number, (client, peer, metrics) in enumerate(
                zip(self.client_ports, peers, self._metrics_ports, strict=True)
            )
        ]

    @property
    def url(self) -> str:
        """The coordinator's URL."""
        return "etcd://" + ",".join(f"127.0.0.1:{port}" for port in self.client_ports)

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start every member, and wait until the cluster has a leader. Raises UnavailableError."""
        for member in self.members:
            member.launch(environment)  # one alone does not answer
        for member in self.members:
            member.start(environment)
        self.leader()

    def stop(self) -> None:
        """End every member."""
        for member in self.members:
            member.stop()

    def leader(self) -> int:
        """Return the number of the leading member, once the members agree on one."""
        deadline = time.monotonic() + LEADER_SECONDS_MAX
        while time.monotonic() < deadline:
            for number, port in enumerate(self._metrics_ports):
                if self.members[number].pid and "etcd_server_is_leader 1" in _get(port, "/metrics"):
                    return number
            time.sleep(0.1)
        raise UnavailableError("etcd finds no leader")

    def metrics(self, number: int = 0) -> str:
        """Return what a member says of itself at /metrics."""
        return _get(self._metrics_ports[number], "/metrics")


def _is_up(port: int) -> bool:
    return "etcd_server_is_leader" in _get(port, "/metrics")


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2.0) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.URLError):
        return ""
