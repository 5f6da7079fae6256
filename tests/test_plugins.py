"""Plugins are found by scheme, by name and by path; mistakes are sentences; every hook is documented and tested."""

import inspect
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gomr import hookspecs
from gomr.backends import Storage
from gomr.builtin.console import ConsoleSink
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.errors import ConfigurationError
from gomr.hookspecs import Launch, Program
from gomr.plugins import Plugins
from tests.conftest import JOBS, Gomr

HOOKS = [name for name in dir(hookspecs) if name.startswith("gomr_")]
DESIGN = Path(__file__).parent.parent / "DESIGN.md"
NULL_STORAGE = """
from gomr.backends import Storage
from gomr.hookspecs import Backend, hookimpl

@hookimpl
def gomr_storages():
    yield Backend({scheme!r}, lambda url: {scheme!r}, "nothing")
"""


@pytest.fixture
def plugin_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_plugin.py"
    path.write_text(NULL_STORAGE.format(scheme="mine"))
    return path


@pytest.fixture
def broken_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution with one good entry point and one that does not import."""
    folder = tmp_path / "site"
    information = folder / "gomr_test-1.2.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: gomr-test\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[gomr]\ngood = gomr_good_test\nbroken = gomr_broken_test\n")
    (folder / "gomr_good_test.py").write_text(NULL_STORAGE.format(scheme="good"))
    (folder / "gomr_broken_test.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook: str) -> None:
    parameters = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"`{hook}({parameters})`" in DESIGN.read_text()
    assert ">>> @hookimpl" in (getattr(hookspecs, hook).__doc__ or "")


def test_every_hook_has_a_test() -> None:
    tested = set(re.findall(r"def test_(gomr_\w+?)__", Path(__file__).read_text()))
    assert tested == set(HOOKS)


def test_gomr_storages__opens_files(tmp_path: Path) -> None:
    storage = Plugins([]).open_storage(f"file://{tmp_path}")
    assert isinstance(storage, FileStorage)
    assert isinstance(storage, Storage)


def test_gomr_coordinators__opens_sqlite(tmp_path: Path) -> None:
    coordinator = Plugins([]).open_coordinator(f"sqlite://{tmp_path}/c.db")
    assert isinstance(coordinator, SqliteCoordinator)
    coordinator.close()


def test_gomr_log_sinks__opens_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    sink = Plugins([]).open_log_sink("console://?format=json")
    assert isinstance(sink, ConsoleSink)
    sink.emit({"event": "something", "level": "info", "job": "j"})
    assert json.loads(capsys.readouterr().err) == {"event": "something", "level": "info", "job": "j"}
    with pytest.raises(ConfigurationError, match="unknown option 'color'"):
        Plugins([]).open_log_sink("console://?color=1")


def program_in(folder: Path, *, serve: bool) -> Program:
    return Program(folder / "other", digest="0", environment={}, serve=serve, open_files=100, file_bytes=2**30)


def test_gomr_run_task__can_be_answered_by_a_plugin(tmp_path: Path) -> None:
    path = tmp_path / "takes_some.py"
    path.write_text(
        "from gomr.hookspecs import hookimpl\n\n\n@hookimpl\ndef gomr_run_task(launch):\n"
        "    return 42 if launch.identity['job'] == 'mine' else None\n"
    )
    (tmp_path / "other").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "other").chmod(0o755)
    (tmp_path / "log").touch()
    plugins = Plugins([str(path)])

    def run(job: str) -> int:
        launch = Launch(
            program=program_in(tmp_path, serve=False),
            task_file=tmp_path / "task",
            scratch=tmp_path,
            log=tmp_path / "log",
            task_seconds=60,
            memory_bytes=2**30,
            stop=threading.Event(),
            why_killed=print,
            identity={"job": job},
        )
        status: int = plugins.manager.hook.gomr_run_task(launch=launch)
        return status

    assert run("mine") == 42
    assert run("another") == 7


def test_gomr_prepare__goes_to_the_first_plugin_that_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "prepares.py"
    path.write_text(
        "from gomr.hookspecs import hookimpl\n\n\n@hookimpl\ndef gomr_prepare(program):\n"
        "    (program.executable.parent / 'prepared').write_text(program.digest)\n    return True\n"
    )
    other = tmp_path / "other"
    other.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    other.chmod(0o755)
    Plugins([str(path)]).manager.hook.gomr_prepare(program=program_in(tmp_path, serve=True))
    assert (tmp_path / "prepared").read_text() == "0"
    assert not (tmp_path / "started").exists()  # the built-in one starts a process
    Plugins([]).manager.hook.gomr_prepare(program=program_in(tmp_path, serve=True))
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_plugin_can_be_a_file(plugin_file: Path) -> None:
    assert Plugins([str(plugin_file)]).open_storage("mine://x") == "mine"  # type: ignore[comparison-overlap]


def test_an_unknown_scheme_names_the_known_ones(plugin_file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no storage plugin for gs://; known: file://, mine://.*pip install"):
        Plugins([str(plugin_file)]).open_storage("gs://bucket")


def test_a_scheme_offered_twice_names_both(tmp_path: Path) -> None:
    path = tmp_path / "shadow.py"
    path.write_text(NULL_STORAGE.format(scheme="file"))
    with pytest.raises(ConfigurationError, match=r"file:// is offered twice, by gomr\S+ and gomr\S+"):
        Plugins([str(path)]).open_storage("file:///tmp")
    assert Plugins([str(path), "no:file"]).open_storage("file:///tmp") == "file"  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("sqlit", "did you mean 'sqlite'"),
        ("nothing-like-it", "pip install gomr-nothing-like-it"),
        ("./absent.py", "no such file"),
        ("a.module.that.is.not.there", "does not load: ModuleNotFoundError"),
    ],
)
def test_a_requested_plugin_that_does_not_load_is_an_error(item: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        Plugins([item])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "@hookimpl\ndef gomr_storage():\n    return []\n",
            "misspelt.*no hook 'gomr_storage'; did you mean gomr_storages",
        ),
        ("@hookimpl\ndef gomr_storages(wrong):\n    return []\n", "wrong"),
        ("raise ValueError('broken on purpose')\n", "broken on purpose"),
    ],
)
def test_a_misspelt_hook_is_an_error(tmp_path: Path, source: str, words: str) -> None:
    path = tmp_path / "misspelt.py"
    path.write_text(f"from gomr.hookspecs import hookimpl\n\n\n{source}")
    with pytest.raises(ConfigurationError, match=words):
        Plugins([str(path)])


def test_a_plugin_that_fails_to_open_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text(
        "from gomr.hookspecs import Backend, hookimpl\n\n\ndef opened(url):\n    return {}['no such key']\n\n\n"
        "@hookimpl\ndef gomr_storages():\n    return [Backend('fails', opened)]\n"
    )
    with pytest.raises(
        ConfigurationError, match=r"fails://user:\*\*\*@x: gomr_plugin_fails cannot open it: KeyError"
    ) as caught:
        Plugins([str(path)]).open_storage("fails://user:hidden@x")
    assert "hidden" not in str(caught.value)


def test_installed_plugins_are_found_by_scheme(broken_distribution: Path) -> None:
    assert broken_distribution.is_dir()
    plugins = Plugins()
    assert plugins.open_storage("good://x") == "good"  # type: ignore[comparison-overlap]
    assert "gomr_broken_test" not in sys.modules
    with pytest.warns(UserWarning, match="'broken' does not load"), pytest.raises(ConfigurationError, match="known"):
        plugins.open_storage("unknown://x")
    with pytest.warns(UserWarning, match="'broken' does not load"):
        (info,) = [info for info in plugins.infos() if info.name == "good"]
    assert (info.version, info.schemes) == ("1.2", ("good://",))


def test_what_a_url_needs_must_load(broken_distribution: Path) -> None:
    assert broken_distribution.is_dir()
    with pytest.raises(ConfigurationError, match="'broken' does not load"):
        Plugins().open_storage("broken://x")
    with pytest.raises(ConfigurationError, match="'broken' does not load"):
        Plugins(["good", "broken"])
    with pytest.raises(ConfigurationError, match="no storage plugin for good://"):
        Plugins([]).open_storage("good://x")


def test_a_worker_with_a_missing_plugin_ends_with_status_3_before_it_works(gomr: Gomr) -> None:
    done = gomr("worker", "--plugins", "etdc", status=3)
    assert "plugin 'etdc': not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_plugin_is_installed_and_used(gomr: Gomr) -> None:
    """examples/gomr-shelf is a distribution of its own, found by its entry point: a storage and a log sink."""
    infos = json.loads(gomr("plugins", "--json").stdout)
    (info,) = [info for info in infos if info["name"] == "shelf"]
    assert info["schemes"] == ["shelf://"]
    gomr.environment["GOMR_STORAGE"] = f"shelf://{gomr.folder}/objects.db"
    gomr.environment["GOMR_LOGS"] = f"shelf://{gomr.folder}/events.db"
    gomr.environment["GOMR_LOG_LEVEL"] = "info"
    (gomr.folder / "in.txt").write_text("a b a\n")
    assert gomr("run", JOBS / "prints.py", "in.txt", "--name", "shelved").stdout
    (job,) = [job["job"] for job in json.loads(gomr("jobs", "--json").stdout)]
    events = [json.loads(line) for line in gomr("logs", job, "--from", "shelf").stdout.splitlines()]
    assert {"task.done", "task.output"} <= {event["event"] for event in events}
    of_one = [
        json.loads(line) for line in gomr("logs", job, "--from", "shelf", "--task", "1-map/0").stdout.splitlines()
    ]
    assert of_one
    assert {(event["stage"], event["task"]) for event in of_one} == {("1-map", 0)}


def test_the_command_line_starts_without_heavy_imports() -> None:
    heavy = {"pluggy", "structlog", "asyncio", "rich", "pex", "boto3"}
    for module, needed in (("gomr.cli.main", set()), ("gomr.cli.run, gomr.client", {"pluggy"})):
        script = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == needed
