from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Exposure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPOSURE_UNSPECIFIED: _ClassVar[Exposure]
    EXPOSURE_PUBLIC: _ClassVar[Exposure]
    EXPOSURE_INTERNAL: _ClassVar[Exposure]
EXPOSURE_UNSPECIFIED: Exposure
EXPOSURE_PUBLIC: Exposure
EXPOSURE_INTERNAL: Exposure
EXPOSURE_FIELD_NUMBER: _ClassVar[int]
exposure: _descriptor.FieldDescriptor
