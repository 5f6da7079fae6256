"""A task's dice: its random numbers are its own, and the same when it is tried again.

What is known of: the module `random`, NumPy's old global generator, and generators that are variables of the job file
or of a module beside it. They are seeded by job, stage and task, after the import and before `setup`. A parameter
`seed` of the job stands in for the job, so that each run of it draws the same numbers.
"""

import os
import random
import sys
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any

_NUMPY_SEED_BYTES = 4  # of its old global generator
_SEED_BYTES = 16  # of any other: enough that no two tasks of any jobs meet


_found: dict[str, list[tuple[str, Any]]] = {}


def prepare_import() -> None:
    """Have what the job draws while it is imported be the same in each of its processes."""
    random.seed(os.environ.get("PYTHONHASHSEED", ""))


def find_generators(module_name: str) -> list[tuple[str, Any]]:
    """Return the generators that are variables of the job's modules, with their names; found once, before a fork."""
    if module_name not in _found:
        _found[module_name] = list(_generators(module_name))
    return _found[module_name]


def begin_task(module_name: str, identity: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Give the generators that are known their state for one task; `identity` is that of its task file."""
    seed = params.get("seed")
    origin = identity.get("job") if seed is None else f"seed {seed}"
    task = f"{origin}/{identity.get('stage')}/{identity.get('task')}"
    random.seed(task)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(_number(f"{task}/numpy.random", _NUMPY_SEED_BYTES))
    for name, generator in find_generators(module_name):
        _seed(generator, _number(f"{task}/{name}", _SEED_BYTES), numpy_random)


def _generators(module_name: str) -> Iterator[tuple[str, Any]]:
    """Yield each generator once, under the name that comes first."""
    numpy_random = sys.modules.get("numpy.random")
    kinds: tuple[type, ...] = (random.Random,)
    if numpy_random is not None:
        kinds += (numpy_random.Generator, numpy_random.RandomState)
    seen = set()
    for module in _own_modules(module_name):
        named = [(name, value) for name, value in vars(module).items() if isinstance(value, kinds)]
        for name, value in sorted(named, key=itemgetter(0)):
            if id(value) not in seen:
                seen.add(id(value))
                yield f"{module.__name__}.{name}", value


def _own_modules(module_name: str) -> list[ModuleType]:
    """Return the modules that lie where the job file does, or below, by name: its siblings, and what it depends on."""
    file = getattr(sys.modules.get(module_name), "__file__", None)
    if not file:
        return []
    folder = f"{Path(file).parent}{os.sep}"
    modules = list(sys.modules.values())
    found = (module for module in modules if (getattr(module, "__file__", None) or "").startswith(folder))
    return sorted(found, key=lambda module: module.__name__)


def _seed(generator: Any, seed: int, numpy_random: Any) -> None:
    if isinstance(generator, random.Random):  # a SystemRandom takes no notice
        generator.seed(seed)
    elif isinstance(generator, numpy_random.RandomState):
        generator.seed(seed % 2 ** (8 * _NUMPY_SEED_BYTES))
    else:
        generator.bit_generator.state = type(generator.bit_generator)(seed).state


def _number(text: str, size: int) -> int:
    """Return a number of `size` bytes that `text` alone decides."""
    return random.Random(text).getrandbits(8 * size)  # noqa: S311 - reproducible, not secret
