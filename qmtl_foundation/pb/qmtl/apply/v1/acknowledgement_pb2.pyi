from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApplyPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPLY_PHASE_UNSPECIFIED: _ClassVar[ApplyPhase]
    APPLY_PHASE_FREEZE: _ClassVar[ApplyPhase]
    APPLY_PHASE_SWITCH: _ClassVar[ApplyPhase]
    APPLY_PHASE_UNFREEZE: _ClassVar[ApplyPhase]

class ParticipantKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARTICIPANT_KIND_UNSPECIFIED: _ClassVar[ParticipantKind]
    PARTICIPANT_KIND_RUNNER: _ClassVar[ParticipantKind]
    PARTICIPANT_KIND_GATEWAY: _ClassVar[ParticipantKind]
    PARTICIPANT_KIND_EXECUTOR: _ClassVar[ParticipantKind]
APPLY_PHASE_UNSPECIFIED: ApplyPhase
APPLY_PHASE_FREEZE: ApplyPhase
APPLY_PHASE_SWITCH: ApplyPhase
APPLY_PHASE_UNFREEZE: ApplyPhase
PARTICIPANT_KIND_UNSPECIFIED: ParticipantKind
PARTICIPANT_KIND_RUNNER: ParticipantKind
PARTICIPANT_KIND_GATEWAY: ParticipantKind
PARTICIPANT_KIND_EXECUTOR: ParticipantKind

class Acknowledgement(_message.Message):
    __slots__ = ("world", "epoch", "run_id", "phase", "sequence", "participant", "kind", "incarnation", "mark")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    world: str
    epoch: int
    run_id: str
    phase: ApplyPhase
    sequence: int
    participant: str
    kind: ParticipantKind
    incarnation: str
    mark: int
    def __init__(self, world: _Optional[str] = ..., epoch: _Optional[int] = ..., run_id: _Optional[str] = ..., phase: _Optional[_Union[ApplyPhase, str]] = ..., sequence: _Optional[int] = ..., participant: _Optional[str] = ..., kind: _Optional[_Union[ParticipantKind, str]] = ..., incarnation: _Optional[str] = ..., mark: _Optional[int] = ...) -> None: ...
