from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_pb2 as _allocation_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2 as _activation_pb2
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_pb2 as _evaluation_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2 as _world_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluateRequest(_message.Message):
    __slots__ = ("request_id", "world", "strategy_id", "strategy_version", "submission_id", "execution_domain", "as_of", "dataset_fingerprint", "returns", "targets", "trades", "proofs", "execution_model", "effective_mode", "code_version", "cross_context_cache_hits")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATASET_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_MODEL_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_MODE_FIELD_NUMBER: _ClassVar[int]
    CODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CROSS_CONTEXT_CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: str
    strategy_id: str
    strategy_version: str
    submission_id: str
    execution_domain: _execution_pb2.ExecutionDomain
    as_of: str
    dataset_fingerprint: str
    returns: bytes
    targets: bytes
    trades: bytes
    proofs: _evaluation_pb2.ProofReport
    execution_model: _world_pb2.ExecutionModel
    effective_mode: _execution_pb2.EffectiveMode
    code_version: str
    cross_context_cache_hits: int
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., submission_id: _Optional[str] = ..., execution_domain: _Optional[_Union[_execution_pb2.ExecutionDomain, str]] = ..., as_of: _Optional[str] = ..., dataset_fingerprint: _Optional[str] = ..., returns: _Optional[bytes] = ..., targets: _Optional[bytes] = ..., trades: _Optional[bytes] = ..., proofs: _Optional[_Union[_evaluation_pb2.ProofReport, _Mapping]] = ..., execution_model: _Optional[_Union[_world_pb2.ExecutionModel, _Mapping]] = ..., effective_mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ..., code_version: _Optional[str] = ..., cross_context_cache_hits: _Optional[int] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("evaluation", "decision", "activation", "allocations")
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    evaluation: _evaluation_pb2.Evaluation
    decision: _world_pb2.Decision
    activation: _activation_pb2.Activation
    allocations: _allocation_pb2.AllocationSnapshot
    def __init__(self, evaluation: _Optional[_Union[_evaluation_pb2.Evaluation, _Mapping]] = ..., decision: _Optional[_Union[_world_pb2.Decision, _Mapping]] = ..., activation: _Optional[_Union[_activation_pb2.Activation, _Mapping]] = ..., allocations: _Optional[_Union[_allocation_pb2.AllocationSnapshot, _Mapping]] = ...) -> None: ...

class GetEvaluationRequest(_message.Message):
    __slots__ = ("world", "eval_key", "include_returns")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EVAL_KEY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_RETURNS_FIELD_NUMBER: _ClassVar[int]
    world: str
    eval_key: str
    include_returns: bool
    def __init__(self, world: _Optional[str] = ..., eval_key: _Optional[str] = ..., include_returns: _Optional[bool] = ...) -> None: ...

class GetEvaluationResponse(_message.Message):
    __slots__ = ("evaluation", "returns")
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    evaluation: _evaluation_pb2.Evaluation
    returns: _evaluation_pb2.ReturnSeries
    def __init__(self, evaluation: _Optional[_Union[_evaluation_pb2.Evaluation, _Mapping]] = ..., returns: _Optional[_Union[_evaluation_pb2.ReturnSeries, _Mapping]] = ...) -> None: ...

class ListEvaluationsRequest(_message.Message):
    __slots__ = ("world", "strategy_id", "page_size", "page_token")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    world: str
    strategy_id: str
    page_size: int
    page_token: str
    def __init__(self, world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEvaluationsResponse(_message.Message):
    __slots__ = ("evaluations", "next_page_token")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Evaluation]
    next_page_token: str
    def __init__(self, evaluations: _Optional[_Iterable[_Union[_evaluation_pb2.Evaluation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
