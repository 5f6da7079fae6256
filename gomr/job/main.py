"""The entry point of an executable: `describe FILE`, `task FILE`, `serve FD` (DESIGN.md, "The job contract")."""

import json
import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gomr.job.contract import write_result
from gomr.job.errors import ContractError, error_facts, flush_output, print_error
from gomr.job.version import CONTRACT_VERSION, VERSION

if TYPE_CHECKING:
    from gomr.job.definition import JobDefinition

MANIFEST = Path(__file__).with_name("manifest.json")  # written by `gomr build`: which module is the job
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 64  # EX_USAGE of sysexits.h
USAGE = """This file is a gomr job, not a program of its own. To run it:
  gomr run THIS_FILE INPUT...      on this machine
  gomr submit THIS_FILE INPUT...   on every machine that runs `gomr worker`
"""


def main() -> int:
    """Run one command of the job contract; return the exit status."""
    arguments = sys.argv[1:]
    if len(arguments) != 2 or arguments[0] not in ("describe", "task", "serve"):
        sys.stderr.write(USAGE)
        return EXIT_USAGE
    command, operand = arguments
    module = json.loads(MANIFEST.read_text())["module"]
    if command == "describe":
        return describe(module, Path(operand))
    if command == "serve":
        from gomr.job.server import serve

        return serve(module, int(operand), description)
    from gomr.job.task import run_task_file

    try:
        return EXIT_OK if run_task_file(module, Path(operand)) else EXIT_FAILED
    except ContractError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE


def describe(module: str, path: Path) -> int:
    """Write what the executable is and needs to `path`; return the exit status."""
    from gomr.job.definition import load

    try:
        definition = load(module)
    except BaseException as error:
        print_error(error)
        write_result(path, {"ok": False, "error": error_facts(error)})
        return EXIT_FAILED
    write_result(path, description(module, definition))
    return EXIT_OK


def description(module: str, definition: "JobDefinition") -> dict[str, Any]:
    """Return what the executable is and needs, all but the contract's version."""
    from gomr.job import native

    return {
        "ok": True,
        "gomr": VERSION,
        "name": module.rpartition(".")[2],
        "requires": requirements(),
        "serve": hasattr(os, "fork"),
        "native": native.core is not None,
        "reducer": definition.reducer is not None or definition.sort is not None,
        "sort": definition.sort.facts() if definition.sort else None,
        "partitions": definition.partitions,
        "params": definition.params,
        "inputs": list(definition.inputs),
        "input": _input_facts(definition),
    }


def _input_facts(definition: "JobDefinition") -> dict[str, Any]:
    if definition.sort is not None and definition.sort.record_bytes:
        return {"format": "records", "split": "records"}
    chosen = definition.input_format
    return {"format": chosen.name, "split": chosen.split, "text": chosen.text}


def requirements() -> dict[str, Any]:
    """Return the interpreter this executable needs, and the platform where it holds compiled code."""
    return {
        "contract": CONTRACT_VERSION,
        "python": python_tag(),
        "platform": platform_tag() if _compiled() else None,
    }


def python_tag() -> str:
    """Return the implementation and minor version of this interpreter, such as `cp311`."""
    short = {"CPython": "cp", "PyPy": "pp"}.get(platform.python_implementation(), sys.implementation.name)
    return f"{short}{sys.version_info[0]}{sys.version_info[1]}"


def platform_tag() -> str:
    """Return this platform, such as `linux-x86_64`."""
    return sysconfig.get_platform()


def _compiled() -> bool:
    """Say whether any distribution in the executable is for one platform alone.

    Read from the files: `importlib.metadata` takes as long to import as all the rest of an executable.
    """
    tags = [
        line.removeprefix("Tag: ")
        for folder in sys.path
        for wheel in Path(folder).glob("*.dist-info/WHEEL")
        for line in wheel.read_text(encoding="utf-8").splitlines()
        if line.startswith("Tag: ")
    ]
    return any(not tag.endswith("-any") for tag in tags)


def leave() -> None:
    """Run one command and end the process at once: threads that the job left behind shall not keep it."""
    status = main()
    flush_output()
    os._exit(status)


if __name__ == "__main__":
    leave()
