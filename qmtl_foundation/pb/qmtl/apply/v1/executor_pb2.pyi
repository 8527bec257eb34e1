import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutorPosition(_message.Message):
    __slots__ = ("strategy_id", "symbol", "quantity")
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    strategy_id: str
    symbol: str
    quantity: float
    def __init__(self, strategy_id: _Optional[str] = ..., symbol: _Optional[str] = ..., quantity: _Optional[float] = ...) -> None: ...

class Enrolment(_message.Message):
    __slots__ = ("world", "executor", "mode", "mark", "fenced_epoch", "is_open", "incarnation", "renew_time", "positions", "create_time")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    FENCED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    IS_OPEN_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    RENEW_TIME_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    world: str
    executor: str
    mode: _execution_pb2.EffectiveMode
    mark: int
    fenced_epoch: int
    is_open: bool
    incarnation: str
    renew_time: _timestamp_pb2.Timestamp
    positions: _containers.RepeatedCompositeFieldContainer[ExecutorPosition]
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, world: _Optional[str] = ..., executor: _Optional[str] = ..., mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ..., mark: _Optional[int] = ..., fenced_epoch: _Optional[int] = ..., is_open: _Optional[bool] = ..., incarnation: _Optional[str] = ..., renew_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., positions: _Optional[_Iterable[_Union[ExecutorPosition, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
