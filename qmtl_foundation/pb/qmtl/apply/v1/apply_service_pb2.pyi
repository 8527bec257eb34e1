from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2 as _activation_pb2
from qmtl_foundation.pb.qmtl.common.v1 import exposure_pb2 as _exposure_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetActivationRequest(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: str
    def __init__(self, world: _Optional[str] = ...) -> None: ...

class GetActivationResponse(_message.Message):
    __slots__ = ("activation_set", "holds")
    ACTIVATION_SET_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    activation_set: _activation_pb2.ActivationSet
    holds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, activation_set: _Optional[_Union[_activation_pb2.ActivationSet, _Mapping]] = ..., holds: _Optional[_Iterable[str]] = ...) -> None: ...
