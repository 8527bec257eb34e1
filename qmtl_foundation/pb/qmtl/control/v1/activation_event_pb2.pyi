import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2 as _activation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActivationEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTIVATION_EVENT_KIND_UNSPECIFIED: _ClassVar[ActivationEventKind]
    ACTIVATION_EVENT_KIND_FREEZE: _ClassVar[ActivationEventKind]
    ACTIVATION_EVENT_KIND_SWITCH: _ClassVar[ActivationEventKind]
    ACTIVATION_EVENT_KIND_UNFREEZE: _ClassVar[ActivationEventKind]
ACTIVATION_EVENT_KIND_UNSPECIFIED: ActivationEventKind
ACTIVATION_EVENT_KIND_FREEZE: ActivationEventKind
ACTIVATION_EVENT_KIND_SWITCH: ActivationEventKind
ACTIVATION_EVENT_KIND_UNFREEZE: ActivationEventKind

class ActivationEvent(_message.Message):
    __slots__ = ("event_id", "world", "sequence", "epoch", "kind", "activation_set", "previous_event_hash", "timeline_id", "create_time", "run_id", "holds")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_SET_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    world: str
    sequence: int
    epoch: int
    kind: ActivationEventKind
    activation_set: _activation_pb2.ActivationSet
    previous_event_hash: str
    timeline_id: str
    create_time: _timestamp_pb2.Timestamp
    run_id: str
    holds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, event_id: _Optional[str] = ..., world: _Optional[str] = ..., sequence: _Optional[int] = ..., epoch: _Optional[int] = ..., kind: _Optional[_Union[ActivationEventKind, str]] = ..., activation_set: _Optional[_Union[_activation_pb2.ActivationSet, _Mapping]] = ..., previous_event_hash: _Optional[str] = ..., timeline_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run_id: _Optional[str] = ..., holds: _Optional[_Iterable[str]] = ...) -> None: ...
