import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_pb2 as _graph_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2 as _world_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmissionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBMISSION_STATE_UNSPECIFIED: _ClassVar[SubmissionState]
    SUBMISSION_STATE_PENDING: _ClassVar[SubmissionState]
    SUBMISSION_STATE_READY: _ClassVar[SubmissionState]
    SUBMISSION_STATE_REJECTED: _ClassVar[SubmissionState]
SUBMISSION_STATE_UNSPECIFIED: SubmissionState
SUBMISSION_STATE_PENDING: SubmissionState
SUBMISSION_STATE_READY: SubmissionState
SUBMISSION_STATE_REJECTED: SubmissionState

class SubmissionError(_message.Message):
    __slots__ = ("reason", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Submission(_message.Message):
    __slots__ = ("submission_id", "world", "strategy_id", "strategy_version", "state", "nodes", "decision", "context", "error", "accept_time", "end_time")
    SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    submission_id: str
    world: str
    strategy_id: str
    strategy_version: str
    state: SubmissionState
    nodes: _containers.RepeatedCompositeFieldContainer[_graph_pb2.NodeResolution]
    decision: _world_pb2.Decision
    context: _execution_pb2.ComputeContext
    error: SubmissionError
    accept_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, submission_id: _Optional[str] = ..., world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., state: _Optional[_Union[SubmissionState, str]] = ..., nodes: _Optional[_Iterable[_Union[_graph_pb2.NodeResolution, _Mapping]]] = ..., decision: _Optional[_Union[_world_pb2.Decision, _Mapping]] = ..., context: _Optional[_Union[_execution_pb2.ComputeContext, _Mapping]] = ..., error: _Optional[_Union[SubmissionError, _Mapping]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
