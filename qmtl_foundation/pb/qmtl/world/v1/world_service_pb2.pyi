import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2 as _world_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateWorldRequest(_message.Message):
    __slots__ = ("request_id", "world", "validate_only", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: _world_pb2.World
    validate_only: bool
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[_Union[_world_pb2.World, _Mapping]] = ..., validate_only: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class CreateWorldResponse(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: _world_pb2.World
    def __init__(self, world: _Optional[_Union[_world_pb2.World, _Mapping]] = ...) -> None: ...

class GetWorldRequest(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: str
    def __init__(self, world: _Optional[str] = ...) -> None: ...

class GetWorldResponse(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: _world_pb2.World
    def __init__(self, world: _Optional[_Union[_world_pb2.World, _Mapping]] = ...) -> None: ...

class ListWorldsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorldsResponse(_message.Message):
    __slots__ = ("worlds", "next_page_token")
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    worlds: _containers.RepeatedCompositeFieldContainer[_world_pb2.World]
    next_page_token: str
    def __init__(self, worlds: _Optional[_Iterable[_Union[_world_pb2.World, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateWorldRequest(_message.Message):
    __slots__ = ("request_id", "world", "validate_only", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: _world_pb2.World
    validate_only: bool
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[_Union[_world_pb2.World, _Mapping]] = ..., validate_only: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class UpdateWorldResponse(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: _world_pb2.World
    def __init__(self, world: _Optional[_Union[_world_pb2.World, _Mapping]] = ...) -> None: ...

class DeleteWorldRequest(_message.Message):
    __slots__ = ("request_id", "world", "etag", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: str
    etag: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DeleteWorldResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UploadPolicyRequest(_message.Message):
    __slots__ = ("request_id", "world", "yaml", "validate_only", "activate", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ACTIVATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: str
    yaml: str
    validate_only: bool
    activate: bool
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[str] = ..., yaml: _Optional[str] = ..., validate_only: _Optional[bool] = ..., activate: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class UploadPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: _world_pb2.Policy
    def __init__(self, policy: _Optional[_Union[_world_pb2.Policy, _Mapping]] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ("world", "page_size", "page_token")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    world: str
    page_size: int
    page_token: str
    def __init__(self, world: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "next_page_token")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[_world_pb2.Policy]
    next_page_token: str
    def __init__(self, policies: _Optional[_Iterable[_Union[_world_pb2.Policy, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ActivatePolicyRequest(_message.Message):
    __slots__ = ("request_id", "world", "version", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: str
    version: int
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[str] = ..., version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ActivatePolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: _world_pb2.Policy
    def __init__(self, policy: _Optional[_Union[_world_pb2.Policy, _Mapping]] = ...) -> None: ...

class GetWorldStatusRequest(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: str
    def __init__(self, world: _Optional[str] = ...) -> None: ...

class GetWorldStatusResponse(_message.Message):
    __slots__ = ("world", "strategies", "epoch", "sequence", "trials", "score", "as_of", "round_time", "holds", "open", "run_id", "waits_for")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    ROUND_TIME_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    world: _world_pb2.World
    strategies: _containers.RepeatedCompositeFieldContainer[_world_pb2.StrategyStatus]
    epoch: int
    sequence: int
    trials: int
    score: float
    as_of: str
    round_time: _timestamp_pb2.Timestamp
    holds: _containers.RepeatedScalarFieldContainer[str]
    open: bool
    run_id: str
    waits_for: str
    def __init__(self, world: _Optional[_Union[_world_pb2.World, _Mapping]] = ..., strategies: _Optional[_Iterable[_Union[_world_pb2.StrategyStatus, _Mapping]]] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., trials: _Optional[int] = ..., score: _Optional[float] = ..., as_of: _Optional[str] = ..., round_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., holds: _Optional[_Iterable[str]] = ..., open: _Optional[bool] = ..., run_id: _Optional[str] = ..., waits_for: _Optional[str] = ...) -> None: ...

class BindStrategyRequest(_message.Message):
    __slots__ = ("submission_id", "world", "strategy_id", "strategy_version", "dataset", "mode")
    SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    submission_id: str
    world: str
    strategy_id: str
    strategy_version: str
    dataset: _world_pb2.BoundDataset
    mode: str
    def __init__(self, submission_id: _Optional[str] = ..., world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., dataset: _Optional[_Union[_world_pb2.BoundDataset, _Mapping]] = ..., mode: _Optional[str] = ...) -> None: ...

class BindStrategyResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _world_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_world_pb2.Decision, _Mapping]] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("world", "strategy_id", "strategy_version")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    world: str
    strategy_id: str
    strategy_version: str
    def __init__(self, world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _world_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_world_pb2.Decision, _Mapping]] = ...) -> None: ...
