import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuditEntry(_message.Message):
    __slots__ = ("world", "number", "event", "actor", "reason", "detail", "run_id", "epoch", "sequence", "create_time", "hash")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    world: str
    number: int
    event: str
    actor: str
    reason: str
    detail: str
    run_id: str
    epoch: int
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    hash: str
    def __init__(self, world: _Optional[str] = ..., number: _Optional[int] = ..., event: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., run_id: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hash: _Optional[str] = ...) -> None: ...

class AuditHead(_message.Message):
    __slots__ = ("world", "number", "hash")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    world: str
    number: int
    hash: str
    def __init__(self, world: _Optional[str] = ..., number: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...
