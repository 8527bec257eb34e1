import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Activation(_message.Message):
    __slots__ = ("strategy_id", "strategy_version", "active", "weight", "side", "mode", "dataset_fingerprint", "epoch", "sequence", "executor")
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    strategy_id: str
    strategy_version: str
    active: bool
    weight: float
    side: str
    mode: _execution_pb2.EffectiveMode
    dataset_fingerprint: str
    epoch: int
    sequence: int
    executor: str
    def __init__(self, strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., active: _Optional[bool] = ..., weight: _Optional[float] = ..., side: _Optional[str] = ..., mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ..., dataset_fingerprint: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., executor: _Optional[str] = ...) -> None: ...

class ActivationSet(_message.Message):
    __slots__ = ("world", "activations", "epoch", "sequence", "state_hash", "switch_time")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    SWITCH_TIME_FIELD_NUMBER: _ClassVar[int]
    world: str
    activations: _containers.RepeatedCompositeFieldContainer[Activation]
    epoch: int
    sequence: int
    state_hash: str
    switch_time: _timestamp_pb2.Timestamp
    def __init__(self, world: _Optional[str] = ..., activations: _Optional[_Iterable[_Union[Activation, _Mapping]]] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., state_hash: _Optional[str] = ..., switch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
