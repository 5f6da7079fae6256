"""The command line: data on standard output, talk on standard error, documented exit statuses, help with examples."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from gomr.cli.main import COMMANDS, cli
from gomr.config import SETTINGS, Config
from gomr.errors import ConfigurationError, UsageError
from gomr.units import parse_size, shown_seconds, shown_size
from gomr.urls import parse
from tests.conftest import EXAMPLES, JOBS, Gomr

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_ends_in_examples(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert re.search(r"Examples?:\n +(GOMR_\S+ |\w+=\$\()?gomr ", result.output), result.output
    assert f"`gomr {command}`" in (sys.modules[f"gomr.cli.{command}"].__doc__ or "")


def test_the_help_names_the_exit_statuses() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    assert "124 --timeout" in output
    assert all(command in output for command in COMMANDS)


def test_the_whole_path_by_hand(gomr: Gomr) -> None:
    (gomr.folder / "in.txt").write_text("a b a\n")
    built = gomr("build", EXAMPLES / "wordcount.py").stdout
    assert re.fullmatch(r"wordcount\.pex [0-9a-f]{64}\n", built)
    submitted = gomr("submit", "wordcount.pex", "in.txt", "--name", "my-words")
    job = submitted.stdout.strip()
    assert re.fullmatch(r"my-words-[0-9a-f]{12}", job)
    assert "executable uploaded" in submitted.stderr
    assert "stored already" in gomr("submit", "wordcount.pex", "in.txt").stderr
    assert f"{job}  running" in gomr("status").stdout
    assert gomr("worker", "--once", "--slots", "1").stdout == ""
    assert gomr("result", job).stdout == "a\t2\nb\t1\n"
    gomr("result", job, "-o", "out.tsv")
    assert (gomr.folder / "out.tsv").read_text() == "a\t2\nb\t1\n"
    assert json.loads(gomr("status", job[:-2], "--json").stdout)["state"] == "done"
    assert json.loads(gomr("jobs", "--json").stdout)[0]["job"] == job
    assert len(json.loads(gomr("tasks", job, "--json").stdout)) == 2
    assert "done" in gomr("tasks", job).stdout
    assert "closed" in gomr("status", job, "--watch").stdout
    assert gomr("logs", job).stdout == ""
    gomr("rm", job)
    assert "no job" in gomr("status", job, status=4).stderr
    assert json.loads(gomr("gc", "--grace-hours", "0", "--json").stdout)


def test_submit_can_wait_and_time_out(gomr: Gomr) -> None:
    (gomr.folder / "in.txt").write_text("a\n")
    done = gomr("submit", EXAMPLES / "wordcount.py", "in.txt", "--wait", "--timeout", "0.3", status=124)
    job = done.stdout.strip()
    assert "is still running" in done.stderr
    assert "no worker is alive" in done.stderr
    gomr.worker("--slots", "1")
    gomr("submit", EXAMPLES / "wordcount.py", "in.txt", "--wait", "--timeout", "100")
    assert gomr("cancel", job).returncode == 0


def test_a_failed_job_exits_with_1_and_says_why(gomr: Gomr) -> None:
    (gomr.folder / "in.txt").write_text("x\n")
    done = gomr("run", JOBS / "raises.py", "in.txt", "--max-attempts", "1", "-o", "out.tsv", status=1)
    assert "ValueError: invalid literal" in done.stderr
    assert done.stdout == ""
    assert not (gomr.folder / "out.tsv").exists()


def test_interrupting_a_run_leaves_a_job_that_goes_on(gomr: Gomr, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    (tmp_path / "in.txt").write_text("a\nb\n")
    options = ["--param", f"folder={pids}", "--param", "seconds=3", "--split-size", "2"]
    process = gomr.start("run", JOBS / "sleeps.py", "in.txt", "--slots", "1", *options)
    deadline = time.monotonic() + 100
    while not any(pids.iterdir()):
        assert time.monotonic() < deadline, gomr.output_of(process)
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # like Ctrl-C, which a process started in the background may ignore
    assert process.wait(60) == 130
    assert "to go on: gomr worker --once" in gomr.output_of(process)
    (job,) = json.loads(gomr("jobs", "--json").stdout)
    gomr("worker", "--once", "--slots", "1")
    assert gomr("result", job["job"]).stdout == "a\t1\nb\t1\n"


def test_a_reader_that_has_had_enough_is_no_error(gomr: Gomr) -> None:
    (gomr.folder / "in.txt").write_text("".join(f"w{number}\n" for number in range(100_000)))
    command = (
        f"{sys.executable} -m gomr.cli run {EXAMPLES / 'wordcount.py'} in.txt | head -n 1; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command], env=gomr.environment, cwd=gomr.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "w0\t1\n"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["submit"], 2, "Missing argument"),
        (["frobnicate"], 2, "No such command"),
        (["status", "--frobnicate"], 2, "No such option"),
        (["run", EXAMPLES / "wordcount.py", "in.txt", "--split-size", "many"], 2, "not a size"),
        (["run", EXAMPLES / "wordcount.py", "in.txt", "--partitions", "0"], 2, "1 to 10000"),
        (["run", EXAMPLES / "wordcount.py", "in.txt", "--memory", "1"], 2, "at least"),
        (["run", EXAMPLES / "wordcount.py", "in.txt", "--param", "x"], 2, "NAME=VALUE"),
        (["run", EXAMPLES / "wordcount.py", "in.txt", "--param", "x=1"], 2, "no such name"),
        (["run", EXAMPLES / "wordcount.py", "in.txt", "--name", "Not Good"], 2, "job name"),
        (["jobs", "--storage", "gs://bucket"], 3, "no storage plugin for gs://"),
        (["jobs", "--coordinator", "file:///x"], 3, "no coordinator plugin for file://"),
        (["jobs", "--plugins", "no:nothing"], 3, "there is no plugin 'nothing'"),
        (["worker", "--run-as", "nobody-of-that-name"], 3, "no such user"),
        (["build", "absent.py"], 4, "no such job file"),
        (["build", "-o", "/proc/x.pex", EXAMPLES / "wordcount.py"], 5, "/proc"),
        (["jobs", "--storage", "file:///proc/nothing"], 5, "gomr:"),
    ],
)
def test_wrong_use_is_said_in_a_sentence(gomr: Gomr, arguments: list[str], status: int, words: str) -> None:
    (gomr.folder / "in.txt").write_text("a\n")
    done = gomr(*arguments, status=status)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_completion_scripts(gomr: Gomr) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_GOMR_COMPLETE" in gomr("completion", shell).stdout


def test_doctor_tries_everything(gomr: Gomr) -> None:
    findings = json.loads(gomr("doctor", "--json").stdout)
    assert {finding["level"] for finding in findings} == {"ok"}
    assert {"storage", "clock", "coordinator", "cluster", "log sinks", "plugins", "this machine"} == {
        finding["check"] for finding in findings
    }
    done = gomr("doctor", "--storage", "file:///proc/nothing", status=5)
    assert "FAIL  storage" in done.stdout


def test_the_settings_of_the_first_gomr_work(tmp_path: Path) -> None:
    variables = {
        "HOME": str(tmp_path),
        "S3_BUCKET": "b",
        "ETCD_SERVERS": "http://h1:2379, h2:2379/",
        "LOGGLY_TOKEN": "t",
    }
    config = Config({}, variables, tmp_path)
    found = {name: config.lookup(name) for name in ("storage", "coordinator", "logs")}
    assert {name: (value.value, value.origin) for name, value in found.items()} == {
        "storage": ("s3://b", "S3_BUCKET"),
        "coordinator": ("etcd://h1:2379,h2:2379", "ETCD_SERVERS"),
        "logs": ("console,loggly", "LOGGLY_TOKEN"),
    }
    newer = Config({}, {**variables, "GOMR_STORAGE": "file:///new", "ETCD_SERVERS": "https://h"}, tmp_path)
    assert newer.get("storage") == "file:///new"
    assert newer.get("coordinator") == "etcd://h?tls=1"


def test_secrets_of_urls_are_not_shown(tmp_path: Path) -> None:
    variables = {
        "HOME": str(tmp_path),
        "GOMR_STORAGE": "s3://key:sec,ret@bucket",
        "GOMR_LOGS": "console,loggly://?token=sesame",
    }
    shown = str(Config({}, variables, tmp_path).shown())
    assert "sec,ret" not in shown
    assert "ret@" not in shown
    assert "sesame" not in shown


def test_settings_come_from_flag_environment_file_and_default_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "gomr.toml").write_text('storage = "file:///from-file"\nlogs = ["console", "null"]\n')
    user = tmp_path / "config" / "gomr"
    user.mkdir(parents=True)
    (user / "config.toml").write_text('storage = "file:///from-user"\ncoordinator = "sqlite:///u.db"\n')
    variables = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}

    def origin(flags: dict[str, str | None], **more: str) -> tuple[str | None, str]:
        value = Config(flags, {**variables, **more}, tmp_path).lookup("storage")
        return value.value, value.origin

    assert origin({"storage": "file:///flag"}, GOMR_STORAGE="file:///e") == ("file:///flag", "--storage")
    assert origin({}, GOMR_STORAGE="file:///e") == ("file:///e", "GOMR_STORAGE")
    assert origin({}) == ("file:///from-file", str(tmp_path / "gomr.toml"))
    config = Config({}, variables, tmp_path)
    assert config.lookup("coordinator").origin == str(user / "config.toml")
    assert config.items("logs") == ["console", "null"]
    assert config.lookup("cache_dir").origin == "default"
    assert config.items("plugins") is None
    assert Config({"plugins": ""}, variables, tmp_path).items("plugins") == []


def test_bad_settings_files_are_said(tmp_path: Path) -> None:
    for text, words in (("storage = ", "not TOML"), ('storag = "x"', "unknown setting 'storag'")):
        (tmp_path / "gomr.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=words):
            Config({}, {}, tmp_path)


def test_secrets_are_masked_wherever_settings_are_shown(gomr: Gomr) -> None:
    gomr.environment["GOMR_STORAGE"] = "s3://key:hidden-1@bucket/x?session_token=hidden-2"
    gomr.environment["GOMR_LOGS"] = "console,loggly://?token=hidden-3"
    for arguments in (["config"], ["config", "--json"]):
        shown = gomr(*arguments).stdout
        assert "hidden" not in shown
        assert "s3://key:***@bucket/x" in shown
    assert "hidden" not in gomr("jobs", status=3).stderr
    assert {setting.name for setting in SETTINGS} == set(json.loads(gomr("config", "--json").stdout))


def test_urls() -> None:
    url = parse("s3://u:p%40ss@host:9000/a%20b/c?endpoint=http%3A%2F%2Fx&region=r")
    assert (url.scheme, url.host, url.path, url.password) == ("s3", "host:9000", "/a b/c", "p@ss")
    assert url.options == {"endpoint": "http://x", "region": "r"}
    assert "p@ss" not in str(url) + repr(url)
    with pytest.raises(ConfigurationError, match="unknown option 'region'"):
        url.check_options("endpoint")
    with pytest.raises(ConfigurationError):
        parse("://nothing")


def test_sizes_and_times() -> None:
    assert [parse_size(text) for text in ("4096", "32MB", "1KiB", "1.5k", "2 GiB")] == [
        4096,
        32 * 10**6,
        1024,
        1536,
        2**31,
    ]
    for text in ("", "MB", "-1", "0", "1 PB", "0.1"):
        with pytest.raises(UsageError, match="not a size"):
            parse_size(text)
    assert [shown_size(size) for size in (12, 1500, 2.5e7)] == ["12 B", "1.5 KB", "25.0 MB"]
    assert [shown_seconds(seconds) for seconds in (1.25, 75, 3700)] == ["1.2 s", "1:15 min", "1:01:40"]


READS_ANOTHER = """
import os, signal, sys, time
from gomr.job.linux import hide_memory

def give_up_rights():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

ready, go = os.pipe()
hidden = os.fork()
if hidden == 0:
    give_up_rights()
    hide_memory()
    os.write(go, b"x")
    time.sleep(600)
os.read(ready, 1)
give_up_rights()
try:
    open(f"/proc/{hidden}/environ", "rb").read()
    print("read")
except PermissionError:
    print("refused")
os.kill(hidden, signal.SIGKILL)
"""


def test_a_process_of_the_same_user_cannot_read_a_workers_environment() -> None:
    """As root, both give up their rights first: root may read everything."""
    done = subprocess.run([sys.executable, "-c", READS_ANOTHER], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_a_program_can_submit_wait_and_read(gomr: Gomr) -> None:
    (gomr.folder / "in.txt").write_text("b a b\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "wordcount_submit.py", "in.txt"],
        env=gomr.environment,
        cwd=gomr.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "b 2\na 1\n", done.stderr
    assert "is done" in done.stderr


def test_the_readme_shows_the_job_as_it_is() -> None:
    job = (EXAMPLES / "wordcount.py").read_text().partition('"""\n\n\n')[2]
    readme = (ROOT / "README.md").read_text()
    assert f"```python\n{job}```" in readme
    for name in ("scripts/demo", "scripts/test"):
        assert f"\n    {name}\n" in readme
        assert os.access(ROOT / name, os.X_OK)
    for command in COMMANDS:
        assert re.search(rf"`{command}|gomr {command}", readme), command
