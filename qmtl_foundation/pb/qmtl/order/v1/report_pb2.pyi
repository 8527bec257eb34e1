import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_OUTCOME_UNSPECIFIED: _ClassVar[OrderOutcome]
    ORDER_OUTCOME_WORKING: _ClassVar[OrderOutcome]
    ORDER_OUTCOME_FILLED: _ClassVar[OrderOutcome]
    ORDER_OUTCOME_UNCHANGED: _ClassVar[OrderOutcome]
    ORDER_OUTCOME_FENCED: _ClassVar[OrderOutcome]
    ORDER_OUTCOME_REFUSED: _ClassVar[OrderOutcome]
    ORDER_OUTCOME_CANCELLED: _ClassVar[OrderOutcome]
ORDER_OUTCOME_UNSPECIFIED: OrderOutcome
ORDER_OUTCOME_WORKING: OrderOutcome
ORDER_OUTCOME_FILLED: OrderOutcome
ORDER_OUTCOME_UNCHANGED: OrderOutcome
ORDER_OUTCOME_FENCED: OrderOutcome
ORDER_OUTCOME_REFUSED: OrderOutcome
ORDER_OUTCOME_CANCELLED: OrderOutcome

class OrderReport(_message.Message):
    __slots__ = ("report_id", "world", "strategy_id", "intent_id", "epoch", "executor", "outcome", "reason", "message", "symbol", "quantity", "price", "fee", "position", "create_time")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    INTENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    report_id: str
    world: str
    strategy_id: str
    intent_id: str
    epoch: int
    executor: str
    outcome: OrderOutcome
    reason: str
    message: str
    symbol: str
    quantity: float
    price: float
    fee: float
    position: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, report_id: _Optional[str] = ..., world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., intent_id: _Optional[str] = ..., epoch: _Optional[int] = ..., executor: _Optional[str] = ..., outcome: _Optional[_Union[OrderOutcome, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., symbol: _Optional[str] = ..., quantity: _Optional[float] = ..., price: _Optional[float] = ..., fee: _Optional[float] = ..., position: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
