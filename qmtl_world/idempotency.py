"""Same request id, same answer (AIP-155): a mutation and its answer are stored in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, transaction
from qmtl_foundation.postgres.pool import Connection, Pool

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"
_GET = "SELECT method, request_hash, answer FROM request WHERE request_id = $1"
_ADD = "INSERT INTO request (request_id, method, request_hash, answer) VALUES ($1, $2, $3, $4)"
_NOTE = f"""
{_ADD} ON CONFLICT (request_id) DO UPDATE SET answer = excluded.answer
WHERE (request.method, request.request_hash) = (excluded.method, excluded.request_hash)
"""


@dataclass(frozen=True, slots=True)
class Request:
    """Name a mutation: its id, its method, and the hash of all that it asks."""

    request_id: str
    method: str
    request_hash: str


async def stored_answer(pool: Pool, request: Request) -> bytes | None:
    """Return the answer that stands under a request's id, or None; raise as ``once`` for another request."""
    async with acquire(pool) as connection:
        return await _find(connection, request)


async def once(pool: Pool, request: Request | None, work: Callable[[Connection], Awaitable[bytes]]) -> bytes:
    """Do ``work`` and store its answer in one transaction, or return the answer that stands under the request's id.

    Without an id it is done each time. Raises REQUEST_ID_REUSED when the id stands for another request. What ``work``
    raises is not stored.
    """
    async with transaction(pool) as connection:
        if request is None:
            return await work(connection)
        await connection.execute(_LOCK, request.request_id)
        stored = await _find(connection, request)
        if stored is not None:
            return stored
        answer = await work(connection)
        await connection.execute(_ADD, request.request_id, request.method, request.request_hash, answer)
        return answer


async def answered(connection: Connection, request: Request) -> bytes | None:
    """Return the answer that stands under a request's id, or None, also where that stands for another request."""
    row = await connection.fetchrow(_GET, request.request_id)
    if row is None or (row["method"], row["request_hash"]) != (request.method, request.request_hash):
        return None
    answer: bytes = row["answer"]
    return answer


async def note_answer(connection: Connection, request: Request, answer: bytes) -> None:
    """Store the newest answer under a request's id, unless that stands for another request."""
    await connection.execute(_NOTE, request.request_id, request.method, request.request_hash, answer)


async def _find(connection: Connection, request: Request) -> bytes | None:
    row = await connection.fetchrow(_GET, request.request_id)
    if row is None:
        return None
    if (row["method"], row["request_hash"]) != (request.method, request.request_hash):
        raise QmtlError(
            Reason.REQUEST_ID_REUSED,
            f"request_id {request.request_id!r} was used for another {row['method']}; take a new one",
            metadata={"request_id": request.request_id, "method": row["method"]},
        )
    answer: bytes = row["answer"]
    return answer
