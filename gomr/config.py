"""Settings and where each came from: flags > environment > gomr.toml > the user's file > the machine's > defaults."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gomr.errors import ConfigurationError
from gomr.urls import parse

PROJECT_FILE = "gomr.toml"
MACHINE_FILE = Path("/etc/gomr/config.toml")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name in files, the environment variable that sets it, its use.

    `historic` is a variable of the first gomr with the same meaning, and how its value is read; the new one wins.
    """

    name: str
    variable: str
    summary: str
    is_url: bool = False
    historic: tuple[str, Callable[[str], str]] | None = None


def _etcd_url(servers: str) -> str:
    """Return the URL for a comma separated list such as "http://h1:2379,h2:2379"."""
    items = [item.strip().rstrip("/") for item in servers.split(",") if item.strip()]
    options = "?tls=1" if any(item.startswith("https://") for item in items) else ""
    return "etcd://" + ",".join(item.rpartition("://")[2] for item in items) + options


SETTINGS = (
    Setting(
        "storage",
        "GOMR_STORAGE",
        "URL of the storage",
        is_url=True,
        historic=("S3_BUCKET", lambda name: f"s3://{name}"),
    ),
    Setting(
        "coordinator", "GOMR_COORDINATOR", "URL of the coordinator", is_url=True, historic=("ETCD_SERVERS", _etcd_url)
    ),
    Setting(
        "logs",
        "GOMR_LOGS",
        "log sinks, comma separated",
        is_url=True,
        historic=("LOGGLY_TOKEN", lambda _token: "console,loggly"),
    ),
    Setting("log_level", "GOMR_LOG_LEVEL", "debug, info, warning or error"),
    Setting("plugins", "GOMR_PLUGINS", "exactly these plugins, comma separated; unset: found by URL scheme"),
    Setting("cache_dir", "GOMR_CACHE_DIR", "executables and builds on this machine"),
    Setting("scratch_dir", "GOMR_SCRATCH_DIR", "files of running tasks"),
)


HOMELY = frozenset({"storage", "coordinator", "cache_dir", "scratch_dir"})
"""Settings whose defaults lie below the user's home."""


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value (None where it has none), and its origin in words."""

    value: str | None
    origin: str


class Config:
    """The settings of this process. `flags` holds what the command line or the program says; None is unset."""

    def __init__(
        self,
        flags: Mapping[str, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._flags = flags or {}
        self._environment = os.environ if environment is None else environment
        self._homeless = ""  # why there are no defaults below the user's home
        files = [(folder or Path.cwd()) / PROJECT_FILE]
        if (own := self._user_folder("XDG_CONFIG_HOME", ".config")) is not None:
            files.append(own / "config.toml")
        self._files = [(path, _read(path)) for path in [*files, MACHINE_FILE]]
        self._defaults = self._make_defaults()

    def get(self, name: str) -> str | None:
        """Return a setting's value."""
        return self.lookup(name).value

    def text(self, name: str) -> str:
        """Return the value of a setting that has a default. Raises ConfigurationError where it needs a missing home."""
        value = self.get(name)
        if value is None:
            raise ConfigurationError(f"{name} has no default here, for {self._homeless}; {_hint(name)}")
        return value

    def path(self, name: str, *, executes: bool = False) -> Path:
        """Return the value of a setting as an absolute path of a folder.

        Raises ConfigurationError for a folder that this user cannot write to, or, with `executes`, from which no
        program can be started.
        """
        value = self.lookup(name)
        text = self.text(name)
        try:
            path = Path(text).expanduser().absolute()
        except RuntimeError:
            raise ConfigurationError(f"{text} ({value.origin}): this user has no home folder; {_hint(name)}") from None
        place = _standing(path)
        if not os.access(place, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{path} ({value.origin}): user {os.getuid()} may not write there; {_hint(name)}")
        if executes and os.statvfs(place).f_flag & os.ST_NOEXEC:
            raise ConfigurationError(
                f"{path} ({value.origin}): no program can be started there, for its file system is mounted noexec; "
                f"{_hint(name)}"
            )
        return path

    def items(self, name: str) -> list[str] | None:
        """Return a comma separated setting as a list; None where it is unset."""
        value = self.get(name)
        return None if value is None else [item.strip() for item in value.split(",") if item.strip()]

    def lookup(self, name: str) -> Value:
        """Return a setting's value and where it came from."""
        setting = next(setting for setting in SETTINGS if setting.name == name)
        flag = self._flags.get(name)
        if flag is not None:
            return Value(flag, f"--{name.replace('_', '-')}")
        if setting.variable in self._environment:
            return Value(self._environment[setting.variable], setting.variable)
        if setting.historic and self._environment.get(setting.historic[0]):
            variable, read = setting.historic
            return Value(read(self._environment[variable]), variable)
        for path, values in self._files:
            if name in values:
                return Value(values[name], str(path))
        default = self._defaults.get(name)
        if name == "scratch_dir" and default is None and (cache := self.lookup("cache_dir")).value:
            return Value(f"{cache.value}/scratch", f"default, below cache_dir ({cache.origin})")
        if name in HOMELY and default is None:
            return Value(None, f"no default, for {self._homeless}")
        return Value(default, "default")

    def shown(self) -> list[tuple[Setting, Value]]:
        """Return every setting with its value, secrets masked."""
        pairs = [(setting, self.lookup(setting.name)) for setting in SETTINGS]
        return [
            (
                setting,
                Value(_masked(setting.name, value.value), value.origin) if setting.is_url and value.value else value,
            )
            for setting, value in pairs
        ]

    def _make_defaults(self) -> dict[str, str]:
        defaults = {"logs": "console", "log_level": "info"}
        if (data := self._own_folder("XDG_DATA_HOME", ".local/share")) is not None:
            defaults |= {"storage": f"file://{data}/storage", "coordinator": f"sqlite://{data}/coordinator.db"}
        if (cache := self._own_folder("XDG_CACHE_HOME", ".cache")) is not None:
            defaults |= {"cache_dir": str(cache), "scratch_dir": str(cache / "scratch")}
        return defaults

    def _own_folder(self, variable: str, fallback: str) -> Path | None:
        """Return a folder of the user's own, where they may write; None, and note why, where there is none."""
        folder = self._user_folder(variable, fallback)
        if folder is None:
            self._homeless = f"user {os.getuid()} has no home folder"
        elif not os.access(_standing(folder), os.W_OK | os.X_OK):
            self._homeless = f"user {os.getuid()} may not write to {folder}"
        else:
            return folder
        return None

    def _user_folder(self, variable: str, fallback: str) -> Path | None:
        root = self._environment.get(variable)
        home = self._environment.get("HOME") or _passwd_home()
        if not (root or home):
            return None
        return (Path(root) if root else Path(home) / fallback) / "gomr"


def _hint(name: str) -> str:
    """Return what a user can do about a setting."""
    setting = next(setting for setting in SETTINGS if setting.name == name)
    kind = "URL" if setting.is_url else "folder"
    return f"give a {kind} with {setting.variable}, or with {name} in {PROJECT_FILE}"


def _standing(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - denied is no error


def _passwd_home() -> str:
    """Return the home folder that the system has for this user, or ""."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _masked(name: str, text: str) -> str:
    """Return a URL, or those of several log sinks with commas between, without their secrets."""
    items = [item.strip() for item in text.split(",")] if name == "logs" else [text]
    return ",".join(str(parse(item)) if "://" in item else item for item in items)


def _read(path: Path) -> dict[str, str]:
    """Read a settings file; a missing one is empty. Raises ConfigurationError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    import tomllib  # for those who have such a file

    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    known = {setting.name for setting in SETTINGS}
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(f"{path}: unknown setting {name!r}; known: {', '.join(sorted(known))}")
        if isinstance(value, list):
            values[name] = ",".join(map(str, value))
    return {name: str(value) for name, value in values.items()}
