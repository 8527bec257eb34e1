"""Requests from bytes: what is no message of the method's type is a field to mend, not a fault of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from qmtl_foundation.errors import invalid_field

Parser = Callable[[bytes], Any]


def parser(deserializer: Parser | None) -> Parser:
    """Return what reads a request, bytes as they are where there is nothing to read them by.

    It raises QmtlError INVALID_FIELD; grpc would answer INTERNAL.
    """

    def parse(content: bytes) -> Any:
        if deserializer is None:
            return content
        try:
            return deserializer(content)
        except DecodeError as error:
            raise invalid_field("request", "the bytes are not a message of this method's request type") from error

    return parse
