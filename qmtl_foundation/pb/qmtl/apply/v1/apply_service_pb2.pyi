from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as _acknowledgement_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2 as _activation_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import executor_pb2 as _executor_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import lease_pb2 as _lease_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2 as _run_pb2
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetActivationRequest(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: str
    def __init__(self, world: _Optional[str] = ...) -> None: ...

class GetActivationResponse(_message.Message):
    __slots__ = ("activation_set", "holds", "phase", "run_id", "event_hash", "timeline_id")
    ACTIVATION_SET_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_ID_FIELD_NUMBER: _ClassVar[int]
    activation_set: _activation_pb2.ActivationSet
    holds: _containers.RepeatedScalarFieldContainer[str]
    phase: _acknowledgement_pb2.ApplyPhase
    run_id: str
    event_hash: str
    timeline_id: str
    def __init__(self, activation_set: _Optional[_Union[_activation_pb2.ActivationSet, _Mapping]] = ..., holds: _Optional[_Iterable[str]] = ..., phase: _Optional[_Union[_acknowledgement_pb2.ApplyPhase, str]] = ..., run_id: _Optional[str] = ..., event_hash: _Optional[str] = ..., timeline_id: _Optional[str] = ...) -> None: ...

class StartApplyRequest(_message.Message):
    __slots__ = ("world", "run_id", "plan", "base_state_hash", "queue", "validate_only", "reason")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    BASE_STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    world: str
    run_id: str
    plan: _run_pb2.Plan
    base_state_hash: str
    queue: bool
    validate_only: bool
    reason: str
    def __init__(self, world: _Optional[str] = ..., run_id: _Optional[str] = ..., plan: _Optional[_Union[_run_pb2.Plan, _Mapping]] = ..., base_state_hash: _Optional[str] = ..., queue: _Optional[bool] = ..., validate_only: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class StartApplyResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.ApplyRun
    def __init__(self, run: _Optional[_Union[_run_pb2.ApplyRun, _Mapping]] = ...) -> None: ...

class GetApplyRequest(_message.Message):
    __slots__ = ("world", "run_id")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    world: str
    run_id: str
    def __init__(self, world: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class GetApplyResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.ApplyRun
    def __init__(self, run: _Optional[_Union[_run_pb2.ApplyRun, _Mapping]] = ...) -> None: ...

class ListAppliesRequest(_message.Message):
    __slots__ = ("world", "page_size", "page_token")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    world: str
    page_size: int
    page_token: str
    def __init__(self, world: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAppliesResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_run_pb2.ApplyRun]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[_run_pb2.ApplyRun, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchApplyRequest(_message.Message):
    __slots__ = ("world", "run_id", "revision")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    world: str
    run_id: str
    revision: int
    def __init__(self, world: _Optional[str] = ..., run_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class WatchApplyResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.ApplyRun
    def __init__(self, run: _Optional[_Union[_run_pb2.ApplyRun, _Mapping]] = ...) -> None: ...

class RollbackApplyRequest(_message.Message):
    __slots__ = ("world", "run_id", "reason")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    world: str
    run_id: str
    reason: str
    def __init__(self, world: _Optional[str] = ..., run_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RollbackApplyResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.ApplyRun
    def __init__(self, run: _Optional[_Union[_run_pb2.ApplyRun, _Mapping]] = ...) -> None: ...

class FreezeWorldRequest(_message.Message):
    __slots__ = ("world", "hold", "reason", "request_id")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    world: str
    hold: str
    reason: str
    request_id: str
    def __init__(self, world: _Optional[str] = ..., hold: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class FreezeWorldResponse(_message.Message):
    __slots__ = ("epoch", "holds")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    holds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, epoch: _Optional[int] = ..., holds: _Optional[_Iterable[str]] = ...) -> None: ...

class ResumeWorldRequest(_message.Message):
    __slots__ = ("world", "run_id", "hold", "reason")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    world: str
    run_id: str
    hold: str
    reason: str
    def __init__(self, world: _Optional[str] = ..., run_id: _Optional[str] = ..., hold: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeWorldResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.ApplyRun
    def __init__(self, run: _Optional[_Union[_run_pb2.ApplyRun, _Mapping]] = ...) -> None: ...

class ReseedWorldRequest(_message.Message):
    __slots__ = ("world", "reason", "request_id")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    world: str
    reason: str
    request_id: str
    def __init__(self, world: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReseedWorldResponse(_message.Message):
    __slots__ = ("epoch", "sequence", "holds")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    holds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., holds: _Optional[_Iterable[str]] = ...) -> None: ...

class EnrolExecutorRequest(_message.Message):
    __slots__ = ("world", "executor", "mode", "reason")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    world: str
    executor: str
    mode: _execution_pb2.EffectiveMode
    reason: str
    def __init__(self, world: _Optional[str] = ..., executor: _Optional[str] = ..., mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class EnrolExecutorResponse(_message.Message):
    __slots__ = ("enrolment",)
    ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    enrolment: _executor_pb2.Enrolment
    def __init__(self, enrolment: _Optional[_Union[_executor_pb2.Enrolment, _Mapping]] = ...) -> None: ...

class DeregisterExecutorRequest(_message.Message):
    __slots__ = ("world", "executor", "reason", "request_id")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    world: str
    executor: str
    reason: str
    request_id: str
    def __init__(self, world: _Optional[str] = ..., executor: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeregisterExecutorResponse(_message.Message):
    __slots__ = ("enrolment",)
    ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    enrolment: _executor_pb2.Enrolment
    def __init__(self, enrolment: _Optional[_Union[_executor_pb2.Enrolment, _Mapping]] = ...) -> None: ...

class ListExecutorsRequest(_message.Message):
    __slots__ = ("world",)
    WORLD_FIELD_NUMBER: _ClassVar[int]
    world: str
    def __init__(self, world: _Optional[str] = ...) -> None: ...

class ListExecutorsResponse(_message.Message):
    __slots__ = ("enrolments",)
    ENROLMENTS_FIELD_NUMBER: _ClassVar[int]
    enrolments: _containers.RepeatedCompositeFieldContainer[_executor_pb2.Enrolment]
    def __init__(self, enrolments: _Optional[_Iterable[_Union[_executor_pb2.Enrolment, _Mapping]]] = ...) -> None: ...

class AcknowledgeActivationRequest(_message.Message):
    __slots__ = ("acknowledgement",)
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    acknowledgement: _acknowledgement_pb2.Acknowledgement
    def __init__(self, acknowledgement: _Optional[_Union[_acknowledgement_pb2.Acknowledgement, _Mapping]] = ...) -> None: ...

class AcknowledgeActivationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("kind", "participant", "incarnation", "worlds")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    kind: _acknowledgement_pb2.ParticipantKind
    participant: str
    incarnation: str
    worlds: _containers.RepeatedCompositeFieldContainer[_lease_pb2.HeldPlace]
    def __init__(self, kind: _Optional[_Union[_acknowledgement_pb2.ParticipantKind, str]] = ..., participant: _Optional[str] = ..., incarnation: _Optional[str] = ..., worlds: _Optional[_Iterable[_Union[_lease_pb2.HeldPlace, _Mapping]]] = ...) -> None: ...

class RenewLeaseResponse(_message.Message):
    __slots__ = ("ttl_ms", "worlds")
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    worlds: _containers.RepeatedCompositeFieldContainer[_lease_pb2.WorldPlace]
    def __init__(self, ttl_ms: _Optional[int] = ..., worlds: _Optional[_Iterable[_Union[_lease_pb2.WorldPlace, _Mapping]]] = ...) -> None: ...
