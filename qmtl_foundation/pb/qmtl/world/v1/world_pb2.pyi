import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fill(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILL_UNSPECIFIED: _ClassVar[Fill]
    FILL_NEXT_OPEN: _ClassVar[Fill]
    FILL_CLOSE: _ClassVar[Fill]

class Rebalance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REBALANCE_UNSPECIFIED: _ClassVar[Rebalance]
    REBALANCE_ON_CHANGE: _ClassVar[Rebalance]
    REBALANCE_EVERY_BAR: _ClassVar[Rebalance]
    REBALANCE_DRIFT: _ClassVar[Rebalance]

class Sizing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIZING_UNSPECIFIED: _ClassVar[Sizing]
    SIZING_LONG_ONLY: _ClassVar[Sizing]
    SIZING_LONG_SHORT: _ClassVar[Sizing]

class SharePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARE_POLICY_UNSPECIFIED: _ClassVar[SharePolicy]
    SHARE_POLICY_WORLD: _ClassVar[SharePolicy]
    SHARE_POLICY_GLOBAL: _ClassVar[SharePolicy]
FILL_UNSPECIFIED: Fill
FILL_NEXT_OPEN: Fill
FILL_CLOSE: Fill
REBALANCE_UNSPECIFIED: Rebalance
REBALANCE_ON_CHANGE: Rebalance
REBALANCE_EVERY_BAR: Rebalance
REBALANCE_DRIFT: Rebalance
SIZING_UNSPECIFIED: Sizing
SIZING_LONG_ONLY: Sizing
SIZING_LONG_SHORT: Sizing
SHARE_POLICY_UNSPECIFIED: SharePolicy
SHARE_POLICY_WORLD: SharePolicy
SHARE_POLICY_GLOBAL: SharePolicy

class ExecutionModel(_message.Message):
    __slots__ = ("fill", "slippage_bp", "fee_bp", "rebalance", "drift", "can_short", "initial_cash", "cash_rate")
    FILL_FIELD_NUMBER: _ClassVar[int]
    SLIPPAGE_BP_FIELD_NUMBER: _ClassVar[int]
    FEE_BP_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    CAN_SHORT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_CASH_FIELD_NUMBER: _ClassVar[int]
    CASH_RATE_FIELD_NUMBER: _ClassVar[int]
    fill: Fill
    slippage_bp: float
    fee_bp: float
    rebalance: Rebalance
    drift: float
    can_short: bool
    initial_cash: float
    cash_rate: float
    def __init__(self, fill: _Optional[_Union[Fill, str]] = ..., slippage_bp: _Optional[float] = ..., fee_bp: _Optional[float] = ..., rebalance: _Optional[_Union[Rebalance, str]] = ..., drift: _Optional[float] = ..., can_short: _Optional[bool] = ..., initial_cash: _Optional[float] = ..., cash_rate: _Optional[float] = ...) -> None: ...

class SizingRule(_message.Message):
    __slots__ = ("sizing", "gross_limit")
    SIZING_FIELD_NUMBER: _ClassVar[int]
    GROSS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    sizing: Sizing
    gross_limit: float
    def __init__(self, sizing: _Optional[_Union[Sizing, str]] = ..., gross_limit: _Optional[float] = ...) -> None: ...

class World(_message.Message):
    __slots__ = ("name", "description", "data_preset", "bars_per_year", "mode", "allow_live", "execution_model", "sizing_rule", "share_policy", "decision_ttl_s", "active_policy_version", "etag", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DATA_PRESET_FIELD_NUMBER: _ClassVar[int]
    BARS_PER_YEAR_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_LIVE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_MODEL_FIELD_NUMBER: _ClassVar[int]
    SIZING_RULE_FIELD_NUMBER: _ClassVar[int]
    SHARE_POLICY_FIELD_NUMBER: _ClassVar[int]
    DECISION_TTL_S_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    data_preset: str
    bars_per_year: float
    mode: _execution_pb2.EffectiveMode
    allow_live: bool
    execution_model: ExecutionModel
    sizing_rule: SizingRule
    share_policy: SharePolicy
    decision_ttl_s: int
    active_policy_version: int
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., data_preset: _Optional[str] = ..., bars_per_year: _Optional[float] = ..., mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ..., allow_live: _Optional[bool] = ..., execution_model: _Optional[_Union[ExecutionModel, _Mapping]] = ..., sizing_rule: _Optional[_Union[SizingRule, _Mapping]] = ..., share_policy: _Optional[_Union[SharePolicy, str]] = ..., decision_ttl_s: _Optional[int] = ..., active_policy_version: _Optional[int] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("world", "version", "yaml", "active", "create_time", "content_id")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    world: str
    version: int
    yaml: str
    active: bool
    create_time: _timestamp_pb2.Timestamp
    content_id: str
    def __init__(self, world: _Optional[str] = ..., version: _Optional[int] = ..., yaml: _Optional[str] = ..., active: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content_id: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("world", "strategy_id", "effective_mode", "reason", "policy_version", "as_of", "expire_time", "etag", "allow_live")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ALLOW_LIVE_FIELD_NUMBER: _ClassVar[int]
    world: str
    strategy_id: str
    effective_mode: _execution_pb2.EffectiveMode
    reason: str
    policy_version: int
    as_of: str
    expire_time: _timestamp_pb2.Timestamp
    etag: str
    allow_live: bool
    def __init__(self, world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., effective_mode: _Optional[_Union[_execution_pb2.EffectiveMode, str]] = ..., reason: _Optional[str] = ..., policy_version: _Optional[int] = ..., as_of: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., allow_live: _Optional[bool] = ...) -> None: ...

class BoundDataset(_message.Message):
    __slots__ = ("preset", "as_of", "fingerprint", "newest_as_of", "end_time", "coverage", "gaps")
    PRESET_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NEWEST_AS_OF_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    preset: str
    as_of: str
    fingerprint: str
    newest_as_of: str
    end_time: _timestamp_pb2.Timestamp
    coverage: float
    gaps: int
    def __init__(self, preset: _Optional[str] = ..., as_of: _Optional[str] = ..., fingerprint: _Optional[str] = ..., newest_as_of: _Optional[str] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., coverage: _Optional[float] = ..., gaps: _Optional[int] = ...) -> None: ...

class RuleOutcome(_message.Message):
    __slots__ = ("rule", "passed", "value", "limit", "message")
    RULE_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    passed: bool
    value: float
    limit: float
    message: str
    def __init__(self, rule: _Optional[str] = ..., passed: _Optional[bool] = ..., value: _Optional[float] = ..., limit: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class StrategyStatus(_message.Message):
    __slots__ = ("strategy_id", "strategy_version", "status", "active", "weight", "side", "score", "contribution", "metrics", "rules", "equity_curve", "eval_key", "evaluate_time")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    EQUITY_CURVE_FIELD_NUMBER: _ClassVar[int]
    EVAL_KEY_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_TIME_FIELD_NUMBER: _ClassVar[int]
    strategy_id: str
    strategy_version: str
    status: str
    active: bool
    weight: float
    side: str
    score: float
    contribution: float
    metrics: _containers.ScalarMap[str, float]
    rules: _containers.RepeatedCompositeFieldContainer[RuleOutcome]
    equity_curve: _containers.RepeatedScalarFieldContainer[float]
    eval_key: str
    evaluate_time: _timestamp_pb2.Timestamp
    def __init__(self, strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., status: _Optional[str] = ..., active: _Optional[bool] = ..., weight: _Optional[float] = ..., side: _Optional[str] = ..., score: _Optional[float] = ..., contribution: _Optional[float] = ..., metrics: _Optional[_Mapping[str, float]] = ..., rules: _Optional[_Iterable[_Union[RuleOutcome, _Mapping]]] = ..., equity_curve: _Optional[_Iterable[float]] = ..., eval_key: _Optional[str] = ..., evaluate_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
