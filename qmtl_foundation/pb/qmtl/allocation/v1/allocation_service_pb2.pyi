from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_pb2 as _allocation_pb2
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetAllocationsRequest(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: str
    def __init__(self, world: _Optional[str] = ...) -> None: ...

class GetAllocationsResponse(_message.Message):
    __slots__ = ("allocations",)
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    allocations: _allocation_pb2.AllocationSnapshot
    def __init__(self, allocations: _Optional[_Union[_allocation_pb2.AllocationSnapshot, _Mapping]] = ...) -> None: ...
