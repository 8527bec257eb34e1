"""Errors of the wire as domain errors: the reason, metadata and bad fields that a service stated (AIP-193)."""

from __future__ import annotations

from typing import Any, Final

from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError

from qmtl_foundation.errors import ERROR_DOMAIN, FieldViolation, QmtlError, Reason

_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"


class StatusDetailsCodec(StatusDetailsCodecBase):
    """Decode ``grpc-status-details-bin`` into the ``google.rpc.Status`` that it carries."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        """Refuse: a client sends no status."""
        raise TypeError("a client sends no status details")

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:
        """Return the decoded status."""
        from qmtl_sdk._pb.google.rpc import Status as RpcStatus

        return RpcStatus.parse(data)


def to_domain_error(error: GRPCError) -> QmtlError:
    """Return the domain error that a service stated; for one that stated none, what its gRPC status means."""
    from qmtl_sdk._pb.google.rpc import BadRequest, ErrorInfo

    info: ErrorInfo | None = None
    violations: list[FieldViolation] = []
    for detail in error.details.details if error.details is not None else ():
        if detail.type_url == _ERROR_INFO:
            info = ErrorInfo.parse(detail.value)
        elif detail.type_url == _BAD_REQUEST:
            found = BadRequest.parse(detail.value).field_violations
            violations += [FieldViolation(each.field, each.description) for each in found]
    message = error.message or error.status.name
    if info is None or info.domain != ERROR_DOMAIN or info.reason not in Reason.__members__:
        return QmtlError(_reason_of(error.status), message, metadata={"status": error.status.name})
    return QmtlError(Reason(info.reason), message, metadata=dict(info.metadata), violations=tuple(violations))


def _reason_of(status: Status) -> Reason:
    return {
        Status.UNAVAILABLE: Reason.DEPENDENCY_UNAVAILABLE,
        Status.CANCELLED: Reason.DEPENDENCY_UNAVAILABLE,  # by a server that is being stopped, not by us
        Status.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
        Status.RESOURCE_EXHAUSTED: Reason.TOO_LARGE,
        Status.INVALID_ARGUMENT: Reason.INVALID_FIELD,
        Status.UNAUTHENTICATED: Reason.UNAUTHENTICATED,
        Status.PERMISSION_DENIED: Reason.PERMISSION_DENIED,
        Status.UNIMPLEMENTED: Reason.METHOD_NOT_SERVED,
    }.get(status, Reason.INTERNAL)
