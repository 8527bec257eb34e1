"""Domain errors: a reason for programs, a sentence for people, and the one table that maps reasons to gRPC status.

The status names are those of ``google.rpc.Code``; putting them on the wire is ``qmtl_foundation.rpc``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ERROR_DOMAIN: Final = "qmtl"
RETRY_AFTER_MS: Final = "retry_after_ms"  # in the metadata of a refusal that says when to come again


class Reason(StrEnum):
    """Name each way in which QMTL refuses a request."""

    # The request itself.
    INVALID_FIELD = "INVALID_FIELD"
    NODE_ID_MISMATCH = "NODE_ID_MISMATCH"
    GRAPH_CYCLE = "GRAPH_CYCLE"
    INVALID_POLICY = "INVALID_POLICY"
    INVALID_SERIES = "INVALID_SERIES"
    INVALID_STRATEGY = "INVALID_STRATEGY"
    NO_CANONICAL_FORM = "NO_CANONICAL_FORM"
    TOO_LARGE = "TOO_LARGE"
    # Who makes it.
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RATE_LIMITED = "RATE_LIMITED"
    # What it names.
    WORLD_NOT_FOUND = "WORLD_NOT_FOUND"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    STRATEGY_NOT_FOUND = "STRATEGY_NOT_FOUND"
    SUBMISSION_NOT_FOUND = "SUBMISSION_NOT_FOUND"
    PRESET_NOT_FOUND = "PRESET_NOT_FOUND"
    NODE_NOT_FOUND = "NODE_NOT_FOUND"
    WORLD_EXISTS = "WORLD_EXISTS"
    WORLD_NAME_USED = "WORLD_NAME_USED"
    PRESET_EXISTS = "PRESET_EXISTS"
    # Idempotency and concurrency.
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    STALE_ETAG = "STALE_ETAG"
    # The state of the world.
    NO_ACTIVE_POLICY = "NO_ACTIVE_POLICY"
    BINDING_MISMATCH = "BINDING_MISMATCH"
    WORLD_NOT_EMPTY = "WORLD_NOT_EMPTY"
    # Its apply protocol.
    RUN_IN_PROGRESS = "RUN_IN_PROGRESS"
    RUN_NOT_REVERSIBLE = "RUN_NOT_REVERSIBLE"
    WORLD_HELD = "WORLD_HELD"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    LIVE_NOT_ALLOWED = "LIVE_NOT_ALLOWED"
    NO_EXECUTOR = "NO_EXECUTOR"
    ACKNOWLEDGEMENT_MISMATCH = "ACKNOWLEDGEMENT_MISMATCH"
    FOREIGN_INCARNATION = "FOREIGN_INCARNATION"
    RUN_EXISTS = "RUN_EXISTS"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    EXECUTOR_EXISTS = "EXECUTOR_EXISTS"
    EXECUTOR_NOT_FOUND = "EXECUTOR_NOT_FOUND"
    NOTHING_PLANNED = "NOTHING_PLANNED"
    # Its orders.
    GATE_CLOSED = "GATE_CLOSED"
    EPOCH_MISMATCH = "EPOCH_MISMATCH"
    ACTIVATION_MISMATCH = "ACTIVATION_MISMATCH"
    MODE_WITHOUT_ORDERS = "MODE_WITHOUT_ORDERS"
    LIVE_CONSENT_MISSING = "LIVE_CONSENT_MISSING"
    INTENT_EXISTS = "INTENT_EXISTS"
    INTENT_STALE = "INTENT_STALE"
    ORDER_STREAM_FULL = "ORDER_STREAM_FULL"
    # Data.
    DATA_UNAVAILABLE = "DATA_UNAVAILABLE"
    DATA_INVALID = "DATA_INVALID"
    # The stack.
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    NOT_CONFIGURED = "NOT_CONFIGURED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    METHOD_NOT_SERVED = "METHOD_NOT_SERVED"
    INTERNAL = "INTERNAL"


# It is not known that the call was taken in: it may be made again.
UNANSWERED: Final = frozenset({Reason.DEPENDENCY_UNAVAILABLE, Reason.DEADLINE_EXCEEDED, Reason.INTERNAL})

GRPC_STATUS: Final[Mapping[Reason, str]] = {
    Reason.INVALID_FIELD: "INVALID_ARGUMENT",
    Reason.NODE_ID_MISMATCH: "INVALID_ARGUMENT",
    Reason.GRAPH_CYCLE: "INVALID_ARGUMENT",
    Reason.INVALID_POLICY: "INVALID_ARGUMENT",
    Reason.INVALID_SERIES: "INVALID_ARGUMENT",
    Reason.INVALID_STRATEGY: "INVALID_ARGUMENT",
    Reason.NO_CANONICAL_FORM: "INVALID_ARGUMENT",
    Reason.TOO_LARGE: "INVALID_ARGUMENT",
    Reason.UNAUTHENTICATED: "UNAUTHENTICATED",
    Reason.PERMISSION_DENIED: "PERMISSION_DENIED",
    Reason.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Reason.WORLD_NOT_FOUND: "NOT_FOUND",
    Reason.POLICY_NOT_FOUND: "NOT_FOUND",
    Reason.STRATEGY_NOT_FOUND: "NOT_FOUND",
    Reason.SUBMISSION_NOT_FOUND: "NOT_FOUND",
    Reason.PRESET_NOT_FOUND: "NOT_FOUND",
    Reason.NODE_NOT_FOUND: "NOT_FOUND",
    Reason.WORLD_EXISTS: "ALREADY_EXISTS",
    Reason.WORLD_NAME_USED: "ALREADY_EXISTS",
    Reason.PRESET_EXISTS: "ALREADY_EXISTS",
    Reason.REQUEST_ID_REUSED: "ALREADY_EXISTS",
    Reason.STALE_ETAG: "ABORTED",
    Reason.NO_ACTIVE_POLICY: "FAILED_PRECONDITION",
    Reason.BINDING_MISMATCH: "FAILED_PRECONDITION",
    Reason.WORLD_NOT_EMPTY: "FAILED_PRECONDITION",
    Reason.RUN_IN_PROGRESS: "FAILED_PRECONDITION",
    Reason.RUN_NOT_REVERSIBLE: "FAILED_PRECONDITION",
    Reason.WORLD_HELD: "FAILED_PRECONDITION",
    Reason.HOLD_NOT_FOUND: "FAILED_PRECONDITION",
    Reason.LIVE_NOT_ALLOWED: "FAILED_PRECONDITION",
    Reason.NO_EXECUTOR: "FAILED_PRECONDITION",
    Reason.ACKNOWLEDGEMENT_MISMATCH: "FAILED_PRECONDITION",
    Reason.FOREIGN_INCARNATION: "FAILED_PRECONDITION",
    Reason.RUN_EXISTS: "ALREADY_EXISTS",
    Reason.RUN_NOT_FOUND: "NOT_FOUND",
    Reason.EXECUTOR_EXISTS: "ALREADY_EXISTS",
    Reason.EXECUTOR_NOT_FOUND: "NOT_FOUND",
    Reason.NOTHING_PLANNED: "FAILED_PRECONDITION",
    Reason.GATE_CLOSED: "FAILED_PRECONDITION",
    Reason.EPOCH_MISMATCH: "FAILED_PRECONDITION",
    Reason.ACTIVATION_MISMATCH: "FAILED_PRECONDITION",
    Reason.MODE_WITHOUT_ORDERS: "FAILED_PRECONDITION",
    Reason.LIVE_CONSENT_MISSING: "FAILED_PRECONDITION",
    Reason.INTENT_EXISTS: "ALREADY_EXISTS",
    Reason.INTENT_STALE: "FAILED_PRECONDITION",
    Reason.ORDER_STREAM_FULL: "RESOURCE_EXHAUSTED",
    Reason.DATA_UNAVAILABLE: "FAILED_PRECONDITION",
    Reason.DATA_INVALID: "FAILED_PRECONDITION",
    Reason.DEPENDENCY_UNAVAILABLE: "UNAVAILABLE",
    Reason.NOT_CONFIGURED: "FAILED_PRECONDITION",
    Reason.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    Reason.METHOD_NOT_SERVED: "UNIMPLEMENTED",
    Reason.INTERNAL: "INTERNAL",
}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Name one bad field (dotted path), what is wrong with it, and the mend."""

    field: str
    description: str


class QmtlError(Exception):
    """Refuse something, for a reason that a program can read and in a sentence that a person can act on.

    ``metadata`` repeats everything that varies in the sentence (AIP-193). ``violations`` name bad fields.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.violations = violations

    def __reduce__(self) -> tuple[Callable[..., QmtlError], tuple[object, ...]]:
        """Travel between processes whole."""
        return _rebuilt, (self.reason, self.message, dict(self.metadata), self.violations)


def _rebuilt(
    reason: Reason, message: str, metadata: Mapping[str, str], violations: tuple[FieldViolation, ...]
) -> QmtlError:
    return QmtlError(reason, message, metadata=metadata, violations=violations)


def invalid_field(field: str, description: str, **metadata: str) -> QmtlError:
    """Return the error for one bad field of a request."""
    return QmtlError(
        Reason.INVALID_FIELD,
        f"{field}: {description}",
        metadata={"field": field, **metadata},
        violations=(FieldViolation(field, description),),
    )


def too_large(field: str, size: int, limit: int) -> QmtlError:
    """Return the error for a field that is larger than its limit, both in bytes."""
    return _beyond(field, f"has {size} bytes; the limit is {limit}", limit)


def too_many(field: str, limit: int) -> QmtlError:
    """Return the error for a repeated field with more values than its limit."""
    return _beyond(field, f"has more than {limit} values", limit)


def _beyond(field: str, description: str, limit: int) -> QmtlError:
    return QmtlError(
        Reason.TOO_LARGE,
        f"{field} {description}",
        metadata={"field": field, "limit": str(limit)},
        violations=(FieldViolation(field, description),),
    )


@contextmanager
def within(path: str) -> Iterator[None]:
    """Let a refusal of a field say in which message the field stands: ``path`` comes before its name."""
    try:
        yield
    except QmtlError as error:
        if error.reason is not Reason.INVALID_FIELD:
            raise
        named = {**error.metadata, "field": f"{path}.{error.metadata.get('field', '')}"}
        violations = tuple(FieldViolation(f"{path}.{each.field}", each.description) for each in error.violations)
        raise QmtlError(error.reason, f"{path}.{error.message}", metadata=named, violations=violations) from error
