"""Finds plugins: built-in ones, those installed in entry point group `gomr`, and those that --plugins names."""

import difflib
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from gomr import hookspecs
from gomr.backends import Coordinator, LogSink, Storage
from gomr.errors import ConfigurationError, CoordinatorError, GomrError, StorageError
from gomr.hookspecs import Backend
from gomr.logs import log
from gomr.urls import URL, parse

if TYPE_CHECKING:
    from importlib import metadata

GROUP = "gomr"
BUILTIN = {
    "file": "gomr.builtin.file",
    "sqlite": "gomr.builtin.sqlite",
    "console": "gomr.builtin.console",
    "process": "gomr.builtin.process",
}
T = TypeVar("T")
Hook = Callable[[], list[Iterable[Backend[T]]]]


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One loaded plugin, as `gomr plugins` shows it."""

    name: str
    version: str
    path: str
    hooks: tuple[str, ...]
    schemes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version or 'built in'} ({self.path}): {', '.join(self.hooks)}"


class Plugins:
    """The plugins of one process, and the back ends they offer.

    `items` is the value of --plugins: None finds plugins by the scheme of a URL, when it is first asked for; a list is
    exactly these plus the built-in ones (a name, a path to a .py file, a dotted module, or `no:NAME`).
    Raises ConfigurationError for one that is missing or broken.
    """

    def __init__(self, items: Iterable[str] | None = None) -> None:
        self.manager = pluggy.PluginManager("gomr")
        self.manager.add_hookspecs(hookspecs)
        if os.environ.get("GOMR_TRACE_PLUGINS") == "1":
            self.manager.trace.root.setwriter(sys.stderr.write)
            self.manager.enable_tracing()
        self._discovers = items is None
        wanted = [item.strip() for item in items or () if item.strip()]
        blocked = {item.removeprefix("no:") for item in wanted if item.startswith("no:")}
        unknown = blocked - set(BUILTIN)
        for name in sorted(unknown and unknown - {entry.name for entry in installed()}):
            raise ConfigurationError(f"plugin 'no:{name}': there is no plugin {name!r} to leave out")
        for name, module in BUILTIN.items():
            if name not in blocked:
                self._register(name, importlib.import_module(module))
        for item in wanted:
            if not item.startswith("no:") and item not in blocked:
                self._load(item)
        self._check()

    def open_storage(self, url: str | URL) -> Storage:
        """Open the storage at `url`. Raises ConfigurationError where no plugin serves its scheme."""
        hook: Hook[Storage] = self.manager.hook.gomr_storages
        return self._open(url, "storage", hook)

    def open_coordinator(self, url: str) -> Coordinator:
        """Open the coordinator at `url`. Raises ConfigurationError where no plugin serves its scheme."""
        hook: Hook[Coordinator] = self.manager.hook.gomr_coordinators
        return self._open(url, "coordinator", hook)

    def open_log_sink(self, url: str) -> LogSink:
        """Open the log sink at `url`. Raises ConfigurationError where no plugin serves its scheme."""
        hook: Hook[LogSink] = self.manager.hook.gomr_log_sinks
        return self._open(url, "log sink", hook)

    def infos(self) -> list[PluginInfo]:
        """Describe every plugin; where nothing was asked for by --plugins, installed ones are loaded first."""
        if self._discovers:
            self._load_rest()
        return self.loaded()

    def loaded(self) -> list[PluginInfo]:
        """Describe the plugins that are loaded by now."""
        return [self._info(name, plugin) for name, plugin in sorted(self.manager.list_name_plugin()) if plugin]

    def _open(self, text: str | URL, kind: str, backends: "Hook[T]") -> T:
        url = parse(text) if isinstance(text, str) else text
        known = self._schemes(backends())
        if url.scheme not in known and self._discovers:
            if url.scheme in {entry.name for entry in installed()}:
                self._load(url.scheme)
            else:
                self._load_rest()
            self._check()
            known = self._schemes(backends())
        if url.scheme not in known:
            served = ", ".join(f"{scheme}://" for scheme in sorted(known))
            raise ConfigurationError(
                f"no {kind} plugin for {url.scheme}://; known: {served}. Try: pip install gomr-{url.scheme}"
            )
        try:
            return known[url.scheme].open(url)
        except (GomrError, StorageError, CoordinatorError):
            raise
        except Exception as error:
            origin = _origin(known[url.scheme])
            raise ConfigurationError(f"{url}: {origin} cannot open it: {type(error).__name__}: {error}") from error

    @staticmethod
    def _schemes(results: Iterable[Iterable[Backend[T]]]) -> dict[str, Backend[T]]:
        known: dict[str, Backend[T]] = {}
        for backend in (backend for result in results for backend in result):
            other = known.setdefault(backend.scheme, backend)
            if other is not backend:
                raise ConfigurationError(
                    f"{backend.scheme}:// is offered twice, by {_origin(other)} and {_origin(backend)}; "
                    "leave one out with --plugins no:NAME"
                )
        return known

    def _load(self, item: str) -> None:
        """Load one plugin that was asked for. Raises ConfigurationError where it does not load."""
        if self.manager.has_plugin(item):
            return
        entries = {entry.name: entry for entry in installed()}
        try:
            if item.endswith(".py") or "/" in item:
                plugin = _from_file(Path(item))
            elif item in entries:
                plugin = entries[item].load()
            elif "." in item:
                plugin = importlib.import_module(item)
            else:
                close = difflib.get_close_matches(item, [*entries, *BUILTIN], 1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; try: pip install gomr-{item}"
                raise ConfigurationError(f"plugin {item!r}: not installed{hint} (installed: {_listed(entries)})")
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(f"plugin {item!r} does not load: {type(error).__name__}: {error}") from error
        self._register(item, plugin)
        log.keep_up()  # the plugin may tell events by structlog

    def _load_rest(self) -> None:
        """Load whatever else is installed; a broken one that nobody asked for is a warning."""
        for entry in installed():
            try:
                self._load(entry.name)
                self._check()
            except ConfigurationError as error:
                if self.manager.has_plugin(entry.name):
                    self.manager.unregister(name=entry.name)
                warnings.warn(f"{error}; going on without it", stacklevel=2)

    def _register(self, name: str, plugin: Any) -> None:
        if not self.manager.is_registered(plugin):
            try:
                self.manager.register(plugin, name)
            except pluggy.PluginValidationError as error:
                raise ConfigurationError(f"plugin {name!r}: {error}") from error

    def _check(self) -> None:
        """Refuse hooks that do not exist: a misspelt name would be silence."""
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            name = self.manager.get_name(error.plugin)
            wrong = str(error).partition("'")[2].partition("'")[0]
            hooks = [hook for hook in vars(hookspecs) if hook.startswith("gomr_")]
            close = difflib.get_close_matches(wrong, hooks, 1) or hooks
            raise ConfigurationError(
                f"plugin {name!r}: no hook {wrong!r}; did you mean {' or '.join(close)}?"
            ) from error

    def _info(self, name: str, plugin: Any) -> PluginInfo:
        entries = [] if name in BUILTIN else installed()
        distribution = next((entry.dist for entry in entries if entry.name == name), None)
        callers = self.manager.get_hookcallers(plugin) or []
        schemes = [
            f"{backend.scheme}://"
            for caller in callers
            if not caller.spec or not caller.spec.opts.get("firstresult")
            for implementation in caller.get_hookimpls()
            if implementation.plugin is plugin
            for backend in _offered(implementation.function)
        ]
        return PluginInfo(
            name=name,
            version=distribution.version if distribution else "",
            path=str(getattr(plugin, "__file__", "")),
            hooks=tuple(sorted(caller.name for caller in callers)),
            schemes=tuple(dict.fromkeys(schemes)),
        )


def installed() -> list["metadata.EntryPoint"]:
    """Return the entry points of group `gomr` that are not built in; importing none of them."""
    from importlib import metadata  # takes as long as all plugins of a usual command

    return [entry for entry in metadata.entry_points(group=GROUP) if entry.name not in BUILTIN]


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(f"plugin {str(path)!r}: no such file")
    spec = importlib.util.spec_from_file_location(f"gomr_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"plugin {str(path)!r}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up
    spec.loader.exec_module(module)
    return module


def _offered(implementation: Callable[..., Any]) -> Iterable[Backend[Any]]:
    """Return what an implementation of a registration hook offers."""
    offered: Iterable[Backend[Any]] = implementation()
    return offered


def _origin(backend: Backend[Any]) -> str:
    return str(getattr(backend.open, "__module__", "?"))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted([*BUILTIN, *names]))
