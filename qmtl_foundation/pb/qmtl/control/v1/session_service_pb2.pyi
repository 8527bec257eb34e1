from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as _acknowledgement_pb2
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2 as _activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2 as _report_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("world", "strategy_id", "strategy_version", "incarnation", "report_position")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REPORT_POSITION_FIELD_NUMBER: _ClassVar[int]
    world: str
    strategy_id: str
    strategy_version: str
    incarnation: str
    report_position: int
    def __init__(self, world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., strategy_version: _Optional[str] = ..., incarnation: _Optional[str] = ..., report_position: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("hello", "acknowledgement", "heartbeat")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    acknowledgement: _acknowledgement_pb2.Acknowledgement
    heartbeat: Heartbeat
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., acknowledgement: _Optional[_Union[_acknowledgement_pb2.Acknowledgement, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("gateway", "gateway_incarnation", "ttl_ms", "snapshot", "report_position")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    REPORT_POSITION_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    gateway_incarnation: str
    ttl_ms: int
    snapshot: _activation_event_pb2.ActivationEvent
    report_position: int
    def __init__(self, gateway: _Optional[str] = ..., gateway_incarnation: _Optional[str] = ..., ttl_ms: _Optional[int] = ..., snapshot: _Optional[_Union[_activation_event_pb2.ActivationEvent, _Mapping]] = ..., report_position: _Optional[int] = ...) -> None: ...

class Renewal(_message.Message):
    __slots__ = ("number", "epoch", "sequence")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    number: int
    epoch: int
    sequence: int
    def __init__(self, number: _Optional[int] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class DeliveredReport(_message.Message):
    __slots__ = ("position", "report")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    position: int
    report: _report_pb2.OrderReport
    def __init__(self, position: _Optional[int] = ..., report: _Optional[_Union[_report_pb2.OrderReport, _Mapping]] = ...) -> None: ...

class FollowResponse(_message.Message):
    __slots__ = ("welcome", "event", "renewal", "report", "trace")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RENEWAL_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    event: _activation_event_pb2.ActivationEvent
    renewal: Renewal
    report: DeliveredReport
    trace: str
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., event: _Optional[_Union[_activation_event_pb2.ActivationEvent, _Mapping]] = ..., renewal: _Optional[_Union[Renewal, _Mapping]] = ..., report: _Optional[_Union[DeliveredReport, _Mapping]] = ..., trace: _Optional[str] = ...) -> None: ...
