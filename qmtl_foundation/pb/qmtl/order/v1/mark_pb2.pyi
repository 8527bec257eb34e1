import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2 as _activation_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MarkKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARK_KIND_UNSPECIFIED: _ClassVar[MarkKind]
    MARK_KIND_FENCE: _ClassVar[MarkKind]
    MARK_KIND_OPEN: _ClassVar[MarkKind]

class OnFreeze(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_FREEZE_UNSPECIFIED: _ClassVar[OnFreeze]
    ON_FREEZE_CANCEL: _ClassVar[OnFreeze]
    ON_FREEZE_LEAVE: _ClassVar[OnFreeze]

class OnDemote(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_DEMOTE_UNSPECIFIED: _ClassVar[OnDemote]
    ON_DEMOTE_FLATTEN: _ClassVar[OnDemote]
    ON_DEMOTE_HOLD: _ClassVar[OnDemote]
    ON_DEMOTE_HAND_OVER: _ClassVar[OnDemote]
MARK_KIND_UNSPECIFIED: MarkKind
MARK_KIND_FENCE: MarkKind
MARK_KIND_OPEN: MarkKind
ON_FREEZE_UNSPECIFIED: OnFreeze
ON_FREEZE_CANCEL: OnFreeze
ON_FREEZE_LEAVE: OnFreeze
ON_DEMOTE_UNSPECIFIED: OnDemote
ON_DEMOTE_FLATTEN: OnDemote
ON_DEMOTE_HOLD: OnDemote
ON_DEMOTE_HAND_OVER: OnDemote

class Mark(_message.Message):
    __slots__ = ("event_id", "world", "number", "kind", "epoch", "activation_set", "on_freeze", "on_demote", "timeline_id", "create_time", "run_id", "reseed_mark")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_SET_FIELD_NUMBER: _ClassVar[int]
    ON_FREEZE_FIELD_NUMBER: _ClassVar[int]
    ON_DEMOTE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RESEED_MARK_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    world: str
    number: int
    kind: MarkKind
    epoch: int
    activation_set: _activation_pb2.ActivationSet
    on_freeze: OnFreeze
    on_demote: OnDemote
    timeline_id: str
    create_time: _timestamp_pb2.Timestamp
    run_id: str
    reseed_mark: int
    def __init__(self, event_id: _Optional[str] = ..., world: _Optional[str] = ..., number: _Optional[int] = ..., kind: _Optional[_Union[MarkKind, str]] = ..., epoch: _Optional[int] = ..., activation_set: _Optional[_Union[_activation_pb2.ActivationSet, _Mapping]] = ..., on_freeze: _Optional[_Union[OnFreeze, str]] = ..., on_demote: _Optional[_Union[OnDemote, str]] = ..., timeline_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run_id: _Optional[str] = ..., reseed_mark: _Optional[int] = ...) -> None: ...
