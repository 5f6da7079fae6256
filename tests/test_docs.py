"""The documents say what the code does."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gomr import hookspecs
from gomr.testing import CoordinatorConformance, LogSinkConformance, StorageConformance
from gomr.testing.base import Conformance

ROOT = Path(__file__).parent.parent
PLUGINS = (ROOT / "docs" / "plugins.md").read_text()
HOOKS = [name for name in vars(hookspecs) if name.startswith("gomr_")]


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("document", ["docs/plugins.md", "DESIGN.md"])
def test_each_hook_is_documented_with_its_signature(name: str, document: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
    assert f"`{name}({arguments})`" in (ROOT / document).read_text()


@pytest.mark.parametrize("kit", [StorageConformance, CoordinatorConformance, LogSinkConformance])
def test_each_fixture_and_knob_of_the_kit_is_documented(kit: type[Conformance]) -> None:
    (row,) = re.findall(rf"^\| `{kit.__name__}` \| .*fixture|^\| `{kit.__name__}` \| `.*$", PLUGINS, re.MULTILINE)
    said = set(re.findall(r"`(\w+)`", row)) - {kit.__name__}
    fixtures = {name for name in vars(kit) if name.endswith("_url") or name == "server"}
    knobs = set(vars(kit).get("__annotations__", {}))
    assert said == fixtures | knobs


def test_the_plugin_of_the_walk_through_works_as_it_stands(tmp_path: Path) -> None:
    """The module of step 1 passes the kit by the test file of step 3, and a job runs on it."""
    for name in ("gomr_shelf.py", "test_shelf.py"):
        (block,) = re.findall(rf"```python\n# {name}.*?\n(.*?)```", PLUGINS, re.DOTALL)
        (tmp_path / name).write_text(block)
    (tmp_path / "in.txt").write_text("one two\ntwo\n")
    path = str(tmp_path / "gomr_shelf.py")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOMR_")}
    environment |= {"GOMR_PLUGINS": path, "HOME": str(tmp_path)}
    kit = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=240", str(tmp_path)]
    tested = (
        (tmp_path / "test_shelf.py")
        .read_text()
        .replace("(StorageConformance):", f"(StorageConformance):\n    plugins = [{path!r}]")
    )
    (tmp_path / "test_shelf.py").write_text(tested)
    done = subprocess.run(kit, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout
    job = [sys.executable, "-m", "gomr.cli", "run", str(ROOT / "examples" / "wordcount.py"), "in.txt"]
    ran = subprocess.run(
        [*job, "--storage", f"shelf://{tmp_path}/objects.db", "-o", "out"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_each_fault_of_the_table_is_shown_by_tests_that_exist() -> None:
    table = (ROOT / "DESIGN.md").read_text().partition("### Faults")[2].partition("\n## ")[0]
    sources = [path.read_text() for path in (*ROOT.glob("tests/test_*.py"), *ROOT.glob("plugins/*/tests/test_*.py"))]
    named = set(re.findall(r"`(test_\w+)`", table))
    assert len(named) > 30
    assert not {name for name in named if not any(f"def {name}(" in source for source in sources)}


def test_the_readme_names_every_plugin_of_the_project() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in (ROOT / "plugins").iterdir():
        if (folder / "pyproject.toml").exists():
            assert folder.name in readme
