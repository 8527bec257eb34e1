import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("node_id", "node_type", "interval_s", "period", "params", "inputs", "schema_compat_id", "code_hash", "queue", "create_time")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_COMPAT_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_HASH_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    node_type: str
    interval_s: int
    period: int
    params: bytes
    inputs: _containers.RepeatedCompositeFieldContainer[NodeInput]
    schema_compat_id: str
    code_hash: str
    queue: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., node_type: _Optional[str] = ..., interval_s: _Optional[int] = ..., period: _Optional[int] = ..., params: _Optional[bytes] = ..., inputs: _Optional[_Iterable[_Union[NodeInput, _Mapping]]] = ..., schema_compat_id: _Optional[str] = ..., code_hash: _Optional[str] = ..., queue: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeInput(_message.Message):
    __slots__ = ("argument", "node_id")
    ARGUMENT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    argument: str
    node_id: str
    def __init__(self, argument: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class NodeResolution(_message.Message):
    __slots__ = ("node_id", "known", "queue")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    known: bool
    queue: str
    def __init__(self, node_id: _Optional[str] = ..., known: _Optional[bool] = ..., queue: _Optional[str] = ...) -> None: ...
