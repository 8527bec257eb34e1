"""What reflection shows at the public address: every public method, and none that only services may call."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from qmtl_foundation.auth.caller import Role
from qmtl_foundation.rpc.access import access_of


def public_pool(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Return the descriptors of files and of all that they import, without internal methods."""
    pool = DescriptorPool()
    for file in _in_order(files, {}):
        stated = FileDescriptorProto()
        file.CopyToProto(stated)
        for service in stated.service:
            shown = [method for method in service.method if _is_shown(method)]
            del service.method[:]
            service.method.extend(shown)
        pool.AddSerializedFile(stated.SerializeToString())
    return pool


def _in_order(files: Iterable[FileDescriptor], found: dict[str, FileDescriptor]) -> Iterable[FileDescriptor]:
    """Return each file once, after those that it imports."""
    for file in files:
        if file.name not in found:
            _in_order(file.dependencies, found)
            found[file.name] = file
    return found.values()


def _is_shown(method: MethodDescriptorProto) -> bool:
    return access_of(method).role is not Role.SERVICE  # one that states nothing is not ours, as those of health
