import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EffectiveMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECTIVE_MODE_UNSPECIFIED: _ClassVar[EffectiveMode]
    EFFECTIVE_MODE_VALIDATE: _ClassVar[EffectiveMode]
    EFFECTIVE_MODE_COMPUTE_ONLY: _ClassVar[EffectiveMode]
    EFFECTIVE_MODE_PAPER: _ClassVar[EffectiveMode]
    EFFECTIVE_MODE_LIVE: _ClassVar[EffectiveMode]
    EFFECTIVE_MODE_SHADOW: _ClassVar[EffectiveMode]

class ExecutionDomain(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_DOMAIN_UNSPECIFIED: _ClassVar[ExecutionDomain]
    EXECUTION_DOMAIN_BACKTEST: _ClassVar[ExecutionDomain]
    EXECUTION_DOMAIN_DRYRUN: _ClassVar[ExecutionDomain]
    EXECUTION_DOMAIN_LIVE: _ClassVar[ExecutionDomain]
    EXECUTION_DOMAIN_SHADOW: _ClassVar[ExecutionDomain]

class DowngradeReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOWNGRADE_REASON_UNSPECIFIED: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_MISSING_AS_OF: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_DECISION_UNAVAILABLE: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_DECISION_STALE: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_LIVE_NOT_ALLOWED: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_UNKNOWN_MODE: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_MISSING_FINGERPRINT: _ClassVar[DowngradeReason]
    DOWNGRADE_REASON_HINT_ABOVE_DECISION: _ClassVar[DowngradeReason]
EFFECTIVE_MODE_UNSPECIFIED: EffectiveMode
EFFECTIVE_MODE_VALIDATE: EffectiveMode
EFFECTIVE_MODE_COMPUTE_ONLY: EffectiveMode
EFFECTIVE_MODE_PAPER: EffectiveMode
EFFECTIVE_MODE_LIVE: EffectiveMode
EFFECTIVE_MODE_SHADOW: EffectiveMode
EXECUTION_DOMAIN_UNSPECIFIED: ExecutionDomain
EXECUTION_DOMAIN_BACKTEST: ExecutionDomain
EXECUTION_DOMAIN_DRYRUN: ExecutionDomain
EXECUTION_DOMAIN_LIVE: ExecutionDomain
EXECUTION_DOMAIN_SHADOW: ExecutionDomain
DOWNGRADE_REASON_UNSPECIFIED: DowngradeReason
DOWNGRADE_REASON_MISSING_AS_OF: DowngradeReason
DOWNGRADE_REASON_DECISION_UNAVAILABLE: DowngradeReason
DOWNGRADE_REASON_DECISION_STALE: DowngradeReason
DOWNGRADE_REASON_LIVE_NOT_ALLOWED: DowngradeReason
DOWNGRADE_REASON_UNKNOWN_MODE: DowngradeReason
DOWNGRADE_REASON_MISSING_FINGERPRINT: DowngradeReason
DOWNGRADE_REASON_HINT_ABOVE_DECISION: DowngradeReason

class ComputeContext(_message.Message):
    __slots__ = ("world", "execution_domain", "effective_mode", "as_of", "dataset_fingerprint", "downgraded", "downgrade_reasons", "safe_mode", "expire_time")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_MODE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATASET_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DOWNGRADED_FIELD_NUMBER: _ClassVar[int]
    DOWNGRADE_REASONS_FIELD_NUMBER: _ClassVar[int]
    SAFE_MODE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    world: str
    execution_domain: ExecutionDomain
    effective_mode: EffectiveMode
    as_of: str
    dataset_fingerprint: str
    downgraded: bool
    downgrade_reasons: _containers.RepeatedScalarFieldContainer[DowngradeReason]
    safe_mode: bool
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, world: _Optional[str] = ..., execution_domain: _Optional[_Union[ExecutionDomain, str]] = ..., effective_mode: _Optional[_Union[EffectiveMode, str]] = ..., as_of: _Optional[str] = ..., dataset_fingerprint: _Optional[str] = ..., downgraded: _Optional[bool] = ..., downgrade_reasons: _Optional[_Iterable[_Union[DowngradeReason, str]]] = ..., safe_mode: _Optional[bool] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
