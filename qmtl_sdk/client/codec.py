"""How the client encodes messages: as protobuf, and none that no server would take."""

from __future__ import annotations

from typing import Any

from grpclib.encoding.proto import ProtoCodec

from qmtl_foundation.errors import too_large
from qmtl_foundation.requests import MAX_MESSAGE_BYTES


class BoundedCodec(ProtoCodec):
    """Encode messages up to the limit of every server; a larger one would be sent whole to be refused."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Return the bytes of a message. Raises QmtlError TOO_LARGE naming its type, size and limit."""
        encoded = super().encode(message, message_type)
        if len(encoded) > MAX_MESSAGE_BYTES:
            raise too_large(message_type.__name__, len(encoded), MAX_MESSAGE_BYTES)
        return encoded
