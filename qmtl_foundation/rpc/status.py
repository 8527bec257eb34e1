"""Domain errors as ``google.rpc.Status`` and back: the sentence for people, the details for programs (AIP-193)."""

from __future__ import annotations

import logging
import uuid
from typing import Final

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from qmtl_foundation.errors import ERROR_DOMAIN, GRPC_STATUS, RETRY_AFTER_MS, FieldViolation, QmtlError, Reason

UNAVAILABLE_AGAIN_MS: Final = 1_000

# A server that is being stopped cancels what it has not taken yet, which is no answer. What we cancel is no RpcError.
NOT_ANSWERED: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})

_log = logging.getLogger(__name__)


def to_status(error: QmtlError) -> status_pb2.Status:
    """Return the status of a refusal: ErrorInfo always, BadRequest for bad fields, RetryInfo when a retry may help."""
    code = code_pb2.Code.Value(GRPC_STATUS[error.reason])
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason.value, domain=ERROR_DOMAIN, metadata=dict(error.metadata))
    ]
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.description)
            for each in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    usual = UNAVAILABLE_AGAIN_MS if code == code_pb2.UNAVAILABLE else None
    again_ms = error.metadata.get(RETRY_AFTER_MS, usual)
    if again_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(again_ms))
        details.append(retry)
    return status_pb2.Status(code=code, message=error.message, details=[_packed(each) for each in details])


def from_rpc_error(error: grpc.aio.AioRpcError) -> QmtlError:
    """Return the domain error that a service sent, or DEPENDENCY_UNAVAILABLE / INTERNAL when it sent none of ours."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == ERROR_DOMAIN and info.reason in Reason.__members__:
            return QmtlError(
                Reason(info.reason), error.details() or "", metadata=dict(info.metadata), violations=_violations(status)
            )
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return QmtlError(Reason.DEADLINE_EXCEEDED, "a service did not answer within the deadline")
    if error.code() in NOT_ANSWERED:
        return QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "a service does not answer; try again")
    return internal_error(error)


def internal_error(error: BaseException) -> QmtlError:
    """Log a fault of ours under a new incident number, and return the error that shows only that number."""
    incident = uuid.uuid4().hex
    _log.error("incident %s", incident, exc_info=error)
    return QmtlError(
        Reason.INTERNAL,
        f"a fault inside QMTL; the service's log has incident {incident}",
        metadata={"incident": incident},
    )


async def abort(context: grpc.aio.ServicerContext, error: QmtlError) -> None:
    """End the call with the error's status."""
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _violations(status: status_pb2.Status) -> tuple[FieldViolation, ...]:
    request = error_details_pb2.BadRequest()
    return tuple(
        FieldViolation(each.field, each.description)
        for detail in status.details
        if detail.Unpack(request)
        for each in request.field_violations
    )
