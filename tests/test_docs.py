"""The documents say what the code does."""

import inspect
import re
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


def test_the_readme_names_every_plugin_of_the_project() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in (ROOT / "plugins").iterdir():
        if (folder / "pyproject.toml").exists():
            assert folder.name in readme
