import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as _acknowledgement_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2 as _activation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_PHASE_UNSPECIFIED: _ClassVar[RunPhase]
    RUN_PHASE_QUEUED: _ClassVar[RunPhase]
    RUN_PHASE_FREEZING: _ClassVar[RunPhase]
    RUN_PHASE_SWITCHING: _ClassVar[RunPhase]
    RUN_PHASE_UNFREEZING: _ClassVar[RunPhase]
    RUN_PHASE_REOPENING: _ClassVar[RunPhase]
    RUN_PHASE_DRAINING: _ClassVar[RunPhase]
    RUN_PHASE_COMPLETED: _ClassVar[RunPhase]
    RUN_PHASE_ROLLED_BACK: _ClassVar[RunPhase]
    RUN_PHASE_ABORTED: _ClassVar[RunPhase]
RUN_PHASE_UNSPECIFIED: RunPhase
RUN_PHASE_QUEUED: RunPhase
RUN_PHASE_FREEZING: RunPhase
RUN_PHASE_SWITCHING: RunPhase
RUN_PHASE_UNFREEZING: RunPhase
RUN_PHASE_REOPENING: RunPhase
RUN_PHASE_DRAINING: RunPhase
RUN_PHASE_COMPLETED: RunPhase
RUN_PHASE_ROLLED_BACK: RunPhase
RUN_PHASE_ABORTED: RunPhase

class PlannedActivation(_message.Message):
    __slots__ = ("strategy_id", "weight", "strategy_version")
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    strategy_id: str
    weight: float
    strategy_version: str
    def __init__(self, strategy_id: _Optional[str] = ..., weight: _Optional[float] = ..., strategy_version: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("activations",)
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    activations: _containers.RepeatedCompositeFieldContainer[PlannedActivation]
    def __init__(self, activations: _Optional[_Iterable[_Union[PlannedActivation, _Mapping]]] = ...) -> None: ...

class Participant(_message.Message):
    __slots__ = ("kind", "name", "incarnation", "lease_expire_time", "waits_for")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    kind: _acknowledgement_pb2.ParticipantKind
    name: str
    incarnation: str
    lease_expire_time: _timestamp_pb2.Timestamp
    waits_for: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[_acknowledgement_pb2.ParticipantKind, str]] = ..., name: _Optional[str] = ..., incarnation: _Optional[str] = ..., lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waits_for: _Optional[_Iterable[str]] = ...) -> None: ...

class ApplyRecord(_message.Message):
    __slots__ = ("event", "actor", "reason", "epoch", "sequence", "create_time")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    event: str
    actor: str
    reason: str
    epoch: int
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ApplyRun(_message.Message):
    __slots__ = ("world", "run_id", "phase", "plan", "prior_state_hash", "planned_state_hash", "epoch", "awaited", "acknowledged", "unopened", "clears_hold", "reason", "deadline", "create_time", "end_time", "timeline", "holds", "revision")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PRIOR_STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    PLANNED_STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AWAITED_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    UNOPENED_FIELD_NUMBER: _ClassVar[int]
    CLEARS_HOLD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    world: str
    run_id: str
    phase: RunPhase
    plan: _containers.RepeatedCompositeFieldContainer[_activation_pb2.Activation]
    prior_state_hash: str
    planned_state_hash: str
    epoch: int
    awaited: _containers.RepeatedCompositeFieldContainer[Participant]
    acknowledged: _containers.RepeatedCompositeFieldContainer[Participant]
    unopened: _containers.RepeatedScalarFieldContainer[str]
    clears_hold: str
    reason: str
    deadline: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    timeline: _containers.RepeatedCompositeFieldContainer[ApplyRecord]
    holds: _containers.RepeatedScalarFieldContainer[str]
    revision: int
    def __init__(self, world: _Optional[str] = ..., run_id: _Optional[str] = ..., phase: _Optional[_Union[RunPhase, str]] = ..., plan: _Optional[_Iterable[_Union[_activation_pb2.Activation, _Mapping]]] = ..., prior_state_hash: _Optional[str] = ..., planned_state_hash: _Optional[str] = ..., epoch: _Optional[int] = ..., awaited: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., acknowledged: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., unopened: _Optional[_Iterable[str]] = ..., clears_hold: _Optional[str] = ..., reason: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timeline: _Optional[_Iterable[_Union[ApplyRecord, _Mapping]]] = ..., holds: _Optional[_Iterable[str]] = ..., revision: _Optional[int] = ...) -> None: ...
