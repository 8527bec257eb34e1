"""The gateway's SQL: submissions, taken once per request id and ended once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_gateway.submission.codec import decode_ready, decode_rejected, encode_outcome
from qmtl_gateway.submission.model import Ready, Rejected, State, Submission, SubmissionOrder

ENDED_CHANNEL = "submission_ended"

# All but the document, which may be large and only a worker needs.
_STATED = "submission_id, request_hash, world, strategy_id, strategy_version, state, outcome, accept_time, end_time"
_ADD = (
    """
INSERT INTO submission (submission_id, request_id, request_hash, world, strategy_id, strategy_version, document, hint,
                        data_preset, as_of, dataset_fingerprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (request_id) DO NOTHING
RETURNING """
    + _STATED
)
_GET_BY_REQUEST = f"SELECT {_STATED} FROM submission WHERE request_id = $1"
_GET = f"SELECT {_STATED} FROM submission WHERE submission_id = $1"
_GET_ORDER = "SELECT * FROM submission WHERE submission_id = $1"
_LIST_PENDING = "SELECT submission_id FROM submission WHERE state = 'pending' ORDER BY accept_time"
# Nobody asks for the document of a submission that has ended.
_END = """
UPDATE submission SET state = $2, outcome = $3, end_time = now(), document = ''
WHERE submission_id = $1 AND state = 'pending'
RETURNING submission_id
"""
_NOTIFY = f"SELECT pg_notify('{ENDED_CHANNEL}', $1)"


async def take(pool: Pool, order: SubmissionOrder, request_id: str, request_hash: str) -> Submission:
    """Store an order under its request id, or return what stands there; another request is REQUEST_ID_REUSED."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(
            _ADD,
            order.submission_id,
            request_id,
            request_hash,
            order.world,
            order.strategy_id,
            order.strategy_version,
            order.document,
            order.hint,
            order.data_preset,
            order.as_of,
            order.dataset_fingerprint,
        )
        if row is not None:
            return _to_submission(row)
        row = await connection.fetchrow(_GET_BY_REQUEST, request_id)
    if row["request_hash"] != request_hash:
        raise QmtlError(
            Reason.REQUEST_ID_REUSED,
            f"request_id {request_id!r} was used for another submission; take a new one",
            metadata={"request_id": request_id, "submission_id": row["submission_id"]},
        )
    return _to_submission(row)


async def read(pool: Pool, submission_id: str) -> Submission | None:
    """Return a submission, or None."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(_GET, submission_id)
    return None if row is None else _to_submission(row)


async def read_pending(pool: Pool, submission_id: str) -> SubmissionOrder | None:
    """Return what a submission asks for, or None when it has ended or is not there."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(_GET_ORDER, submission_id)
    return None if row is None or row["state"] != State.PENDING else _to_order(row)


async def list_pending(pool: Pool) -> list[str]:
    """Return the submissions that have not ended, the oldest first."""
    async with acquire(pool) as connection:
        return [row["submission_id"] for row in await connection.fetch(_LIST_PENDING)]


async def end(pool: Pool, submission_id: str, outcome: Ready | Rejected) -> bool:
    """End a submission and tell every gateway; False when it had ended before, and nothing changed."""
    state = State.READY if isinstance(outcome, Ready) else State.REJECTED
    async with transaction(pool) as connection:
        ended = await connection.fetchval(_END, submission_id, state.value, encode_outcome(outcome))
        if ended is not None:
            await connection.execute(_NOTIFY, submission_id)
    return ended is not None


def _to_order(row: Mapping[str, Any]) -> SubmissionOrder:
    return SubmissionOrder(
        submission_id=row["submission_id"],
        world=row["world"],
        strategy_id=row["strategy_id"],
        strategy_version=row["strategy_version"],
        document=row["document"],
        hint=row["hint"],
        data_preset=row["data_preset"],
        as_of=row["as_of"],
        dataset_fingerprint=row["dataset_fingerprint"],
    )


def _to_submission(row: Mapping[str, Any]) -> Submission:
    state = State(row["state"])
    outcome: Ready | Rejected | None = None
    if state is State.READY:
        outcome = decode_ready(row["outcome"])
    elif state is State.REJECTED:
        outcome = decode_rejected(row["outcome"])
    return Submission(
        submission_id=row["submission_id"],
        world=row["world"],
        strategy_id=row["strategy_id"],
        strategy_version=row["strategy_version"],
        state=state,
        accept_time=row["accept_time"],
        end_time=row["end_time"],
        outcome=outcome,
    )
