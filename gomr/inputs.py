"""Finds inputs by one rule, the same for paths and URLs on every storage (docs/inputs.md).

The file or object of exactly that name wins, then the folder, then the wildcard. Folders and wildcards leave out names
that begin with "." or "_", and read each file once, however many links lead to it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from gomr.backends import ObjectInfo, Storage, checked_key
from gomr.errors import Denied, NotFound, Unavailable, UnavailableError, UsageError
from gomr.localfiles import LocalFiles, Spool
from gomr.model import SPOOLED, STORED, Input
from gomr.patience import PatientStorage
from gomr.selection import has_wildcard, is_left_out, matches
from gomr.urls import URL

OpenStorage = Callable[[str | URL], Storage]
# The folder of the cluster's storage for inputs that were copied at submit.
COPIES = "inputs/"
FILE = "file://"


class Inputs:
    """Finds and reads inputs: local paths, URLs of any storage that a plugin serves, copies in the cluster's own.

    An input in another bucket of the cluster's own server is reached with the options of the cluster's `own_url`.
    Standard input and pipes are read into the `spool`; without one they are refused.
    """

    def __init__(
        self, open_storage: OpenStorage, own: Storage, own_url: URL | None = None, spool: Spool | None = None
    ) -> None:
        self._open_storage = open_storage
        self._own = own
        self._own_url = own_url
        self._local = LocalFiles(spool)
        self._storages: dict[str, Storage] = {}
        # How many names folders and wildcards passed over: a folder of them counts once.
        self.left_out = 0

    def find(self, patterns: Sequence[str]) -> list[Input]:
        """Return the objects that `patterns` name, in order, each once. Raises UsageError where one names none."""
        found: dict[str, Input] = {}
        for pattern in patterns:
            if "://" not in pattern or pattern.startswith(FILE):
                matched = self._local.find(pattern)
            else:
                matched = list(self._find(pattern))
            if not matched:
                raise UsageError(
                    f"{pattern}: no such input; a folder or wildcard must match at least one file "
                    "whose name begins with neither '.' nor '_'"
                )
            found.update((match.url, match) for match in matched if match.url not in found)
        self.left_out += self._local.left_out
        self._local.left_out = 0
        return list(found.values())

    def locate(self, url: str) -> tuple[Storage, str]:
        """Return the storage that holds the object at `url`, and its key there: verbatim, nothing is unquoted."""
        scheme, _, rest = url.partition("://")
        if url.startswith(STORED):
            return self._own, f"{COPIES}{rest}"
        if url.startswith(SPOOLED):
            scheme = "file"
        host, _, key = rest.partition("/")
        root = f"{scheme}://{host}/"
        if "@" in host:
            raise UsageError(
                f"{scheme}://***@{host.rpartition('@')[2]}: an input's URL has no user and no password; "
                "the storage of the cluster is reached with its own, another one as its plugin finds them"
            )
        if root not in self._storages:
            own = self._own_url
            target = replace(own, host=host, path="/") if own is not None and own.scheme == scheme and host else root
            self._storages[root] = PatientStorage(self._open_storage(target))
        return self._storages[root], key

    def close(self) -> None:
        """Close the storages that were opened."""
        for storage in self._storages.values():
            storage.close()
        self._storages.clear()

    def _find(self, url: str) -> Iterator[Input]:
        storage, key = self.locate(url)
        root = url[: len(url) - len(key)] if key else url.rstrip("/") + "/"
        if key and not key.endswith("/"):
            try:
                info = storage.stat(key)
            except NotFound:
                # A folder, perhaps.
                pass
            except (Denied, Unavailable) as error:
                raise UnavailableError(f"{url}: cannot be read: {error}") from error
            else:
                yield Input(url, info.size, info.version)
                return
        folder = key.rstrip("/") + "/" if key.strip("/") else ""
        below = list(_listed(storage, folder, url))
        if below or not has_wildcard(key):
            chosen = [info for info in below if not is_left_out(info.key[len(folder) :])]
            self.left_out += len(below) - len(chosen)
        else:
            chosen = self._matching(storage, key.split("/"), url)
        for info in chosen:
            try:
                checked_key(info.key)
            except Denied as error:
                raise UsageError(
                    f"{root}{info.key}: cannot be an input: {error}; rename it, or name the others"
                ) from error
            yield Input(root + info.key, info.size, info.version)

    def _matching(self, storage: Storage, parts: list[str], url: str) -> list[ObjectInfo]:
        first = next(number for number, part in enumerate(parts) if has_wildcard(part))
        prefix = "".join(f"{part}/" for part in parts[:first])
        # A part such as "log-2026-*" narrows the list, too.
        prefix += _literal_start(parts[first])
        return [info for info in _listed(storage, prefix, url) if matches(info.key.split("/"), parts)]


def _listed(storage: Storage, prefix: str, url: str) -> Iterator[ObjectInfo]:
    """Yield the objects below a prefix, without the zero-byte objects that stand for folders."""
    try:
        for info in storage.list(prefix):
            if info.key and not info.key.endswith("/"):
                yield info
    except NotFound as error:
        raise UsageError(f"{url}: no such input: {error}") from error
    except (Denied, Unavailable) as error:
        raise UnavailableError(f"{url}: cannot be listed: {error}") from error


def _literal_start(part: str) -> str:
    for number, letter in enumerate(part):
        if letter in "*?[":
            return part[:number]
    return part
