"""Makes `import etcd3` work beside any protobuf, and gives its messages and stubs.

The modules that etcd3 0.12.0 generated in 2020 refuse to load beside a protobuf newer than 3.20. What they hold is
still right: the descriptors of etcd's protocol, as bytes. This module reads those bytes out of the files (it does not
run them), and gives them to the protobuf that is installed, which makes the message classes anew. They are put where
etcd3 looks for its own before etcd3 is imported.
"""

import ast
import importlib
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "etcd3.etcdrpc"
FILES = ("kv", "auth", "rpc")  # in the order in which they need one another


def load() -> ModuleType:
    """Return `etcd3.etcdrpc`: etcd's messages and the stubs of its services."""
    if "etcd3" not in sys.modules:
        _install()
    return importlib.import_module(PACKAGE)


def _install() -> None:
    folder = Path(str(distribution("etcd3").locate_file("etcd3"))) / "etcdrpc"
    pool = descriptor_pool.DescriptorPool()  # of its own: other packages may hold a "kv.proto" too
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    modules: dict[str, Any] = {PACKAGE: package}
    for name in FILES:
        module = modules[f"{PACKAGE}.{name}_pb2"] = ModuleType(f"{PACKAGE}.{name}_pb2")
        serialized = _serialized(folder / f"{name}_pb2.py")
        pool.AddSerializedFile(serialized)
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        names: dict[str, Any] = {value.name: value.number for enum in file.enum_type for value in enum.value}
        for message in file.message_type:
            described = pool.FindMessageTypeByName(f"{file.package}.{message.name}")
            names[message.name] = message_factory.GetMessageClass(described)
        vars(module).update(names)
        vars(package).update(names)
        setattr(package, f"{name}_pb2", module)
    sys.modules.update(modules)
    stubs = importlib.import_module(f"{PACKAGE}.rpc_pb2_grpc")  # this file of etcd3 is as good as ever
    for name, value in vars(stubs).items():
        if name.endswith("Stub"):
            setattr(package, name, value)


def _serialized(path: Path) -> bytes:
    """Return the descriptor that a generated module holds: the argument `serialized_pb=_b('...')`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb" and isinstance(node.value, ast.Call):
            return str(ast.literal_eval(node.value.args[0])).encode("latin1")
    raise ImportError(f"{path}: holds no descriptor; gomr-etcd knows etcd3 0.12.0")
