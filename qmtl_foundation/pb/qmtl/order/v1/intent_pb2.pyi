import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderIntent(_message.Message):
    __slots__ = ("intent_id", "world", "strategy_id", "symbol", "target", "bar_time", "epoch", "executor", "strategy_version", "side", "mode")
    INTENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BAR_TIME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    intent_id: str
    world: str
    strategy_id: str
    symbol: str
    target: float
    bar_time: _timestamp_pb2.Timestamp
    epoch: int
    executor: str
    strategy_version: str
    side: str
    mode: _execution_pb2.EffectiveMode
    def __init__(self, intent_id: _Optional[str] = ..., world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., symbol: _Optional[str] = ..., target: _Optional[float] = ..., bar_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., epoch: _Optional[int] = ..., executor: _Optional[str] = ..., strategy_version: _Optional[str] = ..., side: _Optional[str] = ..., mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ...) -> None: ...
