"""The job file as an object: its names found, checked, and its mistakes said with the line."""

import ast
import difflib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from gomr.job import randomness
from gomr.job.errors import DefinitionError
from gomr.job.formats import CHUNK_BYTES, InputFormat, input_format
from gomr.job.outputs import Formatter, output_format
from gomr.job.reducers import KnownReducer
from gomr.job.sort import Sort

ARITIES = {
    "mapper": ("record",),
    "combiner": ("key", "values"),
    "reducer": ("key", "values"),
    "partitioner": ("key", "partitions"),
    "setup": (),
}
SETTINGS = ("params", "partitions", "input_format", "chunk_bytes", "output_format", "inputs", "steps", "sort")
NOT_WITH_SORT = (*ARITIES, "input_format", "chunk_bytes", "output_format")
MEANT = {"map": "mapper", "reduce": "reducer", "combine": "combiner", "partition": "partitioner"}
PARTITIONS_MAX = 10_000
PARAM_TYPES = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """What a job file defines; a job without a reducer is map-only."""

    module: str
    mapper: Callable[[Any], Any]
    reducer: Callable[[Any, Any], Any] | None
    combiner: Callable[[Any, Any], Any] | None
    partitioner: Callable[[Any, int], int] | None
    setup: Callable[[], Any] | None
    input_format: InputFormat
    output_format: Formatter
    partitions: int | None = None
    chunk_bytes: int = CHUNK_BYTES
    params: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    sort: Sort | None = None  # in place of mapper and reducer


def load(module_name: str) -> JobDefinition:
    """Import the job file and check it.

    Raises DefinitionError for a job file that is no job, and whatever the import raises.
    """
    randomness.prepare_import()
    definition = define(importlib.import_module(module_name))
    randomness.find_generators(module_name)
    return definition


def define(module: ModuleType) -> JobDefinition:
    """Return the definition that `module` makes. Raises DefinitionError with file and line."""
    file = Path(module.__file__ or module.__name__).name
    lines = _binding_lines(module)

    def refuse(message: str, name: str = "") -> DefinitionError:
        return DefinitionError(message, file=file, line=lines.get(name, 1 if lines else 0))

    _check_names(module, lines, refuse)
    for name, arguments in ARITIES.items():
        _check_function(getattr(module, name, None), name, arguments, refuse)
    reducer = getattr(module, "reducer", None)
    combiner = getattr(module, "combiner", None)
    if combiner is not None and reducer is None:
        raise refuse("combiner without a reducer: a map-only job has nothing to combine for", "combiner")
    if combiner is None and isinstance(reducer, KnownReducer):
        combiner = reducer  # a known reducer is associative
    try:
        return JobDefinition(
            module=module.__name__,
            mapper=getattr(module, "mapper", _no_mapper),
            reducer=reducer,
            combiner=combiner,
            partitioner=getattr(module, "partitioner", None),
            setup=getattr(module, "setup", None),
            input_format=input_format(getattr(module, "input_format", "lines")),
            output_format=output_format(getattr(module, "output_format", "text")),
            partitions=_partitions(getattr(module, "partitions", None)),
            chunk_bytes=_chunk_bytes(getattr(module, "chunk_bytes", CHUNK_BYTES)),
            params=_params(getattr(module, "params", {})),
            inputs=_inputs(getattr(module, "inputs", ())),
            sort=getattr(module, "sort", None),
        )
    except DefinitionError as error:
        raise refuse(str(error), str(error).split()[0]) from None


def _check_names(module: ModuleType, lines: dict[str, int], refuse: Callable[..., DefinitionError]) -> None:
    """Find names that were meant for gomr's."""
    known = [*ARITIES, *SETTINGS]
    for name in lines:
        meant = MEANT.get(name) or next(iter(difflib.get_close_matches(name, known, 1, cutoff=0.8)), None)
        if meant and meant != name and not name.startswith("_") and not hasattr(module, meant):
            raise refuse(f"{name!r} is not a name of a job; did you mean {meant!r}? (else rename it)", name)
    if getattr(module, "sort", None) is not None:
        _check_sort(module, refuse)
    elif getattr(module, "mapper", None) is None:
        raise refuse("no mapper: a job file defines mapper(record), which yields (key, value) pairs")
    if hasattr(module, "steps"):
        raise refuse("steps: this version runs one map and one reduce a job", "steps")


def _check_sort(module: ModuleType, refuse: Callable[..., DefinitionError]) -> None:
    if not isinstance(module.sort, Sort):
        raise refuse(f"sort is {type(module.sort).__name__}; write sort = gomr.Sort(...)", "sort")
    for name in NOT_WITH_SORT:
        if hasattr(module, name):
            raise refuse(f"{name} beside sort: a job either sorts whole records, or maps and reduces them", name)


def _no_mapper(_record: Any) -> Any:
    raise DefinitionError("a job that sorts has no mapper")


def _check_function(
    function: Any, name: str, arguments: tuple[str, ...], refuse: Callable[..., DefinitionError]
) -> None:
    if function is None:
        return
    wanted = f"{name}({', '.join(arguments)})"
    if not callable(function):
        raise refuse(f"{name} is {type(function).__name__}, not a function; write {wanted}", name)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise refuse(f"{name} is async; write a plain function or generator {wanted}", name)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in that does not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise refuse(f"{name}{signature}: it is called as {wanted}: {error}", name) from None


def _binding_lines(module: ModuleType) -> dict[str, int]:
    """Return the line of each function and variable that the job file itself binds at top level."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return {}
    lines: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            lines[node.name] = node.lineno
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            lines.update({target.id: node.lineno for target in targets if isinstance(target, ast.Name)})
    return lines


def _partitions(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 1 <= value <= PARTITIONS_MAX):
        raise DefinitionError(f"partitions is {value!r}; it is a number from 1 to {PARTITIONS_MAX}")
    return value


def _chunk_bytes(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise DefinitionError(f"chunk_bytes is {value!r}; it is a number of bytes")
    return value


def _params(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(default, PARAM_TYPES) for name, default in value.items()
    ):
        raise DefinitionError("params is a dict of names and defaults, each a str, int, float, bool or None")
    return dict(value)


def _inputs(value: Any) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(item, str) for item in values):
        raise DefinitionError("inputs is a list of paths or URLs")
    return tuple(values)
