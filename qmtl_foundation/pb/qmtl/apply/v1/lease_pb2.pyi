from qmtl_foundation.pb.qmtl.apply.v1 import executor_pb2 as _executor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HeldPlace(_message.Message):
    __slots__ = ("world", "epoch", "sequence", "mark", "unsure", "positions", "position", "generation", "waits_for", "restored_mark")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    RESTORED_MARK_FIELD_NUMBER: _ClassVar[int]
    world: str
    epoch: int
    sequence: int
    mark: int
    unsure: bool
    positions: _containers.RepeatedCompositeFieldContainer[_executor_pb2.ExecutorPosition]
    position: int
    generation: str
    waits_for: _containers.RepeatedScalarFieldContainer[str]
    restored_mark: int
    def __init__(self, world: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., mark: _Optional[int] = ..., unsure: _Optional[bool] = ..., positions: _Optional[_Iterable[_Union[_executor_pb2.ExecutorPosition, _Mapping]]] = ..., position: _Optional[int] = ..., generation: _Optional[str] = ..., waits_for: _Optional[_Iterable[str]] = ..., restored_mark: _Optional[int] = ...) -> None: ...

class WorldPlace(_message.Message):
    __slots__ = ("world", "epoch", "sequence", "is_open", "enrolment", "enrolment_position", "purge_position", "purge_generation")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IS_OPEN_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_POSITION_FIELD_NUMBER: _ClassVar[int]
    PURGE_POSITION_FIELD_NUMBER: _ClassVar[int]
    PURGE_GENERATION_FIELD_NUMBER: _ClassVar[int]
    world: str
    epoch: int
    sequence: int
    is_open: bool
    enrolment: int
    enrolment_position: int
    purge_position: int
    purge_generation: str
    def __init__(self, world: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., is_open: _Optional[bool] = ..., enrolment: _Optional[int] = ..., enrolment_position: _Optional[int] = ..., purge_position: _Optional[int] = ..., purge_generation: _Optional[str] = ...) -> None: ...
