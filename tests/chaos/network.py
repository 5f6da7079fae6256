"""A network namespace with one link to this machine, which can be cut: packets vanish, and nobody is told."""

import os
import subprocess

HOST, INSIDE = "10.213.77.1", "10.213.77.2"


class Namespace:
    """Needs root and `ip`; `missing` says what is not there, and nothing is made then."""

    def __init__(self) -> None:
        self.name = f"gomr-chaos-{os.getpid()}"
        self._link = f"gomr{os.getpid() % 10**7}"
        self.missing = ""
        try:
            self._ip("netns", "add", self.name)
            self._ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            self._ip("address", "add", f"{HOST}/30", "dev", self._link)
            self._ip("link", "set", self._link, "up")
            self._ip("-n", self.name, "address", "add", f"{INSIDE}/30", "dev", "eth0")
            self._ip("-n", self.name, "link", "set", "lo", "up")
            self._ip("-n", self.name, "link", "set", "eth0", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.missing = str(getattr(error, "stderr", "") or error).strip()
            self.close()

    def command(self, command: list[str]) -> list[str]:
        """Return the command that runs another one inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self, is_cut: bool) -> None:
        """Cut the link, or mend it."""
        self._ip("link", "set", self._link, "down" if is_cut else "up")

    def close(self) -> None:
        """Delete it."""
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
