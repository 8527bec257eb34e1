from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_CALLER: _ClassVar[Role]
    ROLE_READER: _ClassVar[Role]
    ROLE_AUTHOR: _ClassVar[Role]
    ROLE_OPERATOR: _ClassVar[Role]
    ROLE_OWNER: _ClassVar[Role]
    ROLE_ADMIN: _ClassVar[Role]
    ROLE_SERVICE: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_CALLER: Role
ROLE_READER: Role
ROLE_AUTHOR: Role
ROLE_OPERATOR: Role
ROLE_OWNER: Role
ROLE_ADMIN: Role
ROLE_SERVICE: Role
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor

class Access(_message.Message):
    __slots__ = ("role", "world", "strategy", "urgent", "service", "large")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    URGENT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    LARGE_FIELD_NUMBER: _ClassVar[int]
    role: Role
    world: str
    strategy: str
    urgent: bool
    service: str
    large: bool
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., world: _Optional[str] = ..., strategy: _Optional[str] = ..., urgent: _Optional[bool] = ..., service: _Optional[str] = ..., large: _Optional[bool] = ...) -> None: ...
