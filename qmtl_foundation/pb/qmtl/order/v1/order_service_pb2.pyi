from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2 as _intent_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PublishIntentsRequest(_message.Message):
    __slots__ = ("intents", "live_consent")
    INTENTS_FIELD_NUMBER: _ClassVar[int]
    LIVE_CONSENT_FIELD_NUMBER: _ClassVar[int]
    intents: _containers.RepeatedCompositeFieldContainer[_intent_pb2.OrderIntent]
    live_consent: bool
    def __init__(self, intents: _Optional[_Iterable[_Union[_intent_pb2.OrderIntent, _Mapping]]] = ..., live_consent: _Optional[bool] = ...) -> None: ...

class PublishIntentsResponse(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, positions: _Optional[_Iterable[int]] = ...) -> None: ...
