import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StrategyAllocation(_message.Message):
    __slots__ = ("strategy_id", "weight")
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    strategy_id: str
    weight: float
    def __init__(self, strategy_id: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class AllocationSnapshot(_message.Message):
    __slots__ = ("world", "strategies", "cash", "epoch", "etag", "create_time")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    CASH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    world: str
    strategies: _containers.RepeatedCompositeFieldContainer[StrategyAllocation]
    cash: float
    epoch: int
    etag: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, world: _Optional[str] = ..., strategies: _Optional[_Iterable[_Union[StrategyAllocation, _Mapping]]] = ..., cash: _Optional[float] = ..., epoch: _Optional[int] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
