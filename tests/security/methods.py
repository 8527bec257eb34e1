"""How a method of the contract is asked by bytes, through a channel of anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from qmtl_foundation.rpc.access import access_of

CALL_SECONDS: Final = 20.0
# Which process answers for a package; the others are the gateway's own.
SERVED_BY: Final = {
    "qmtl.world.v1": "world",
    "qmtl.evaluation.v1": "world",
    "qmtl.apply.v1": "world",
    "qmtl.allocation.v1": "world",
    "qmtl.audit.v1": "world",
    "qmtl.graph.v1": "dagmgr",
    "qmtl.dataset.v1": "dagmgr",
}


def path_of(method: Any) -> str:
    """Return the method's path."""
    return f"/{method.containing_service.full_name}/{method.name}"


def server_of(method: Any) -> str:
    """Return the process that answers for a method."""
    return SERVED_BY.get(method.containing_service.file.package, "gateway")


def naming(method: Any, world: str, strategy: str, submission: str) -> Message:
    """Return a request that names a world, a strategy or its author, or a submission, and states nothing else."""
    request: Message = GetMessageClass(method.input_type)()
    access = access_of(method)
    _put(request, access.world, world)
    _put(request, access.strategy, strategy.partition("/")[0] if access.strategy.endswith("author") else strategy)
    if "submission_id" in method.input_type.fields_by_name:
        request.submission_id = submission  # type: ignore[attr-defined]  # it has the field
    return request


def ask(channel: grpc.Channel, method: Any, content: bytes, token: str) -> grpc.StatusCode:
    """Return the status of a call, of a stream that of its first answer; an empty token is left out."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    path = path_of(method)
    if not method.server_streaming:
        try:
            channel.unary_unary(path)(content, timeout=CALL_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK
    if method.client_streaming:
        call: Any = channel.stream_stream(path)(iter([content]), timeout=CALL_SECONDS, metadata=metadata)
    else:
        call = channel.unary_stream(path)(content, timeout=CALL_SECONDS, metadata=metadata)
    try:
        with suppress(StopIteration):
            next(_iterated(call))
    except grpc.RpcError as error:
        return error.code()
    finally:
        call.cancel()
    return grpc.StatusCode.OK


def _iterated(call: Any) -> Iterator[bytes]:
    return iter(call)


def _put(message: Any, path: str, text: str) -> None:
    """Set a field by its dotted path; of a repeated message the first one."""
    if not path:
        return
    *outer, last = path.split(".")
    for name in outer:
        value = getattr(message, name)
        if not isinstance(value, Message):
            value = value[0] if len(value) else value.add()
        message = value
    setattr(message, last, text)
