"""An executable depends on its sources alone, and holds the standard-library part of gomr alone."""

import json
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from gomr.build import build
from gomr.errors import DefinitionRefused, GomrError, NotFoundError, UsageError
from gomr.executables import ExecutableRefused, describe, environment, file_digest
from tests.conftest import EXAMPLES, JOBS, Gomr


def test_the_digest_is_the_same_on_another_day_in_another_folder_under_another_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(EXAMPLES / "wordcount.py", tmp_path / "one.pex", cache_dir=tmp_path / "cache-1")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    copy = folder / "wordcount.py"
    shutil.copy(EXAMPLES / "wordcount.py", copy)
    (folder / "unrelated.py").write_text("x = 1\n")
    os.utime(copy, (1_000_000_000, 1_000_000_000))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.chdir(folder)
    time.tzset()
    umask = os.umask(0o077)
    try:
        second = build(Path("wordcount.py"), cache_dir=tmp_path / "cache-2")
    finally:
        os.umask(umask)
        monkeypatch.undo()
        time.tzset()
    assert not first.cached
    assert not second.cached
    assert first.digest == second.digest == file_digest(folder / "wordcount.pex")


def test_an_unchanged_job_is_not_built_again_and_a_changed_one_is(tmp_path: Path, builds: Path) -> None:
    copy = tmp_path / "wordcount.py"
    shutil.copy(EXAMPLES / "wordcount.py", copy)
    build(copy, tmp_path / "a.pex", cache_dir=builds)
    again = build(copy, tmp_path / "b.pex", cache_dir=builds)
    assert again.cached
    copy.write_text(copy.read_text() + "\n# changed\n")
    assert build(copy, tmp_path / "c.pex", cache_dir=builds).digest != again.digest


def test_siblings_go_in_and_unrelated_files_do_not(tmp_path: Path, builds: Path) -> None:
    built = build(JOBS / "uses_sibling.py", tmp_path / "a.pex", cache_dir=builds)
    names = [Path(name).name for name in zipfile.ZipFile(built.path).namelist()]
    assert {"sibling.py", "inner.py", "uses_sibling.py"} <= set(names)
    assert not {"raises.py", "client.py", "plugins.py", "hookspecs.py"} & set(names)


def test_the_executable_imports_nothing_beyond_the_standard_library(tmp_path: Path, builds: Path) -> None:
    built = build(EXAMPLES / "wordcount.py", tmp_path / "a.pex", cache_dir=builds)
    script = (
        "import sys, gomr.job.main, gomr.job.server, gomr.job.task, wordcount\n"
        "bad = {'pluggy', 'structlog', 'boto3', 'etcd3', 'click', 'rich', 'backports'} & set(sys.modules)\n"
        "import importlib.util as u\n"
        "bad |= {n for n in ('pluggy', 'structlog', 'boto3', 'etcd3', 'gomr.client') if u.find_spec(n)}\n"
        "print(sorted(bad))"
    )
    variables = {**environment(tmp_path / "pex", tmp_path), "PEX_INTERPRETER": "1"}
    done = subprocess.run(
        [built.path, "-c", script], env=variables, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_dependencies_are_locked_beside_the_job_and_packed(tmp_path: Path, builds: Path) -> None:
    copy = tmp_path / "with_dependency.py"
    shutil.copy(JOBS / "with_dependency.py", copy)
    first = build(copy, tmp_path / "a.pex", cache_dir=builds)
    lock = tmp_path / "with_dependency.lock"
    assert json.loads(lock.read_text())["gomr_requirements"] == ["six==1.16.0"]
    before = lock.read_bytes()
    second = build(copy, tmp_path / "b.pex", cache_dir=tmp_path / "another-cache")
    assert lock.read_bytes() == before
    assert first.digest == second.digest
    assert first.describe["requires"]["platform"] is None


def test_the_executable_describes_itself(tmp_path: Path, builds: Path) -> None:
    built = build(EXAMPLES / "wordcount.py", tmp_path / "a.pex", cache_dir=builds)
    facts = built.describe
    assert facts["contract"] == 1
    assert facts["reducer"] is True
    assert facts["serve"] is True
    assert facts["input"] == {"format": "lines", "split": "lines", "text": True}
    assert facts["requires"]["python"].startswith("cp3")


def test_mistakes_are_said_with_file_and_line_and_no_traceback(gomr: Gomr) -> None:
    for name, source, words in [
        ("no_mapper", "x = 1\n", "no_mapper.py:1: no mapper"),
        ("bad_syntax", "def mapper(line):\n    yield (line\n", "bad_syntax.py:2: '(' was never closed"),
        ("arity", "\ndef mapper(a, b):\n    pass\n", "arity.py:2: mapper(a, b): it is called as mapper(record)"),
    ]:
        (gomr.folder / f"{name}.py").write_text(source)
        done = gomr("build", f"{name}.py", status=2)
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not (gomr.folder / f"{name}.pex").exists()


def test_an_error_at_import_shows_the_users_frames(gomr: Gomr) -> None:
    (gomr.folder / "bad_import.py").write_text("def mapper(line):\n    yield 1, 1\n\n1 / 0\n")
    done = gomr("build", "bad_import.py", status=2)
    assert 'bad_import.py", line 4' in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "gomr/job" not in done.stderr


def test_what_cannot_be_built_is_refused(tmp_path: Path, builds: Path) -> None:
    with pytest.raises(NotFoundError, match="no such job file"):
        build(tmp_path / "absent.py", cache_dir=builds)
    (tmp_path / "two-words.py").write_text("")
    with pytest.raises(UsageError, match="Python name"):
        build(tmp_path / "two-words.py", cache_dir=builds)
    (tmp_path / "json.py").write_text("")
    with pytest.raises(UsageError, match="rename the file"):
        build(tmp_path / "json.py", cache_dir=builds)
    bad = tmp_path / "bad.py"
    bad.write_text("# /// script\n# dependencies = [\n# ///\ndef mapper(line): pass\n")
    with pytest.raises(UsageError, match="not TOML"):
        build(bad, cache_dir=builds)
    bad.write_text('# /// script\n# dependencies = ["no-such-package-of-gomr==9.9"]\n# ///\ndef mapper(line): pass\n')
    with pytest.raises(GomrError, match="cannot lock"):
        build(bad, cache_dir=builds)
    bad.write_bytes(b"\0\xff")
    with pytest.raises((DefinitionRefused, UsageError, UnicodeDecodeError)):
        build(bad, cache_dir=builds)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello, I am not a program\n", "cannot be executed"),
        (b"#!/bin/sh\necho I do not know that\nexit 1\n", "does not answer `describe`"),
        (b'#!/bin/sh\necho \'{"contract": 99, "ok": true}\' > "$2"\n', "version 99 of the job contract"),
        (b'#!/bin/sh\necho nonsense > "$2"\n', "does not answer `describe`"),
    ],
)
def test_what_is_no_executable_is_refused_with_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "some.pex"
    path.write_bytes(content)
    path.chmod(0o755)
    with pytest.raises(ExecutableRefused, match=words):
        describe(path, environment(tmp_path / "pex", tmp_path))
