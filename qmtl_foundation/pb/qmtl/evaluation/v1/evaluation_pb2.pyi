import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2 as _world_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProofStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROOF_STATUS_UNSPECIFIED: _ClassVar[ProofStatus]
    PROOF_STATUS_PASSED: _ClassVar[ProofStatus]
    PROOF_STATUS_FAILED: _ClassVar[ProofStatus]
    PROOF_STATUS_UNPROVEN: _ClassVar[ProofStatus]
PROOF_STATUS_UNSPECIFIED: ProofStatus
PROOF_STATUS_PASSED: ProofStatus
PROOF_STATUS_FAILED: ProofStatus
PROOF_STATUS_UNPROVEN: ProofStatus

class ProofFinding(_message.Message):
    __slots__ = ("kind", "node", "node_id", "bar", "symbol", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    BAR_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    node: str
    node_id: str
    bar: str
    symbol: str
    message: str
    def __init__(self, kind: _Optional[str] = ..., node: _Optional[str] = ..., node_id: _Optional[str] = ..., bar: _Optional[str] = ..., symbol: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ProofReport(_message.Message):
    __slots__ = ("status", "findings", "coverage")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    status: ProofStatus
    findings: _containers.RepeatedCompositeFieldContainer[ProofFinding]
    coverage: float
    def __init__(self, status: _Optional[_Union[ProofStatus, str]] = ..., findings: _Optional[_Iterable[_Union[ProofFinding, _Mapping]]] = ..., coverage: _Optional[float] = ...) -> None: ...

class ReturnSeries(_message.Message):
    __slots__ = ("bar_times_ns", "returns")
    BAR_TIMES_NS_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    bar_times_ns: _containers.RepeatedScalarFieldContainer[int]
    returns: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, bar_times_ns: _Optional[_Iterable[int]] = ..., returns: _Optional[_Iterable[float]] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("eval_key", "world", "strategy_id", "strategy_version", "policy_version", "status", "metrics", "rules", "score", "contribution", "as_of", "dataset_fingerprint", "create_time")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    EVAL_KEY_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATASET_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    eval_key: str
    world: str
    strategy_id: str
    strategy_version: str
    policy_version: int
    status: str
    metrics: _containers.ScalarMap[str, float]
    rules: _containers.RepeatedCompositeFieldContainer[_world_pb2.RuleOutcome]
    score: float
    contribution: float
    as_of: str
    dataset_fingerprint: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, eval_key: _Optional[str] = ..., world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., policy_version: _Optional[int] = ..., status: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ..., rules: _Optional[_Iterable[_Union[_world_pb2.RuleOutcome, _Mapping]]] = ..., score: _Optional[float] = ..., contribution: _Optional[float] = ..., as_of: _Optional[str] = ..., dataset_fingerprint: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
