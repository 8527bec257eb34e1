"""A service's connection pool: opened once, its failures turned into domain errors where they arise."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Secret, is_loopback

POOL_MIN_CONNECTIONS = 1
POOL_MAX_CONNECTIONS = 16
CONNECT_TIMEOUT_SECONDS = 5.0
CONNECTION_CHECK_SECONDS = 5  # the server ends a statement, and its wait for a lock, whose client has gone
COMMAND_TIMEOUT_SECONDS = 30.0

Connection = Any  # asyncpg.Connection or its pool proxy; asyncpg ships no complete types
Pool = Any

_acts: ContextVar[list[Callable[[], None]] | None] = ContextVar("acts", default=None)  # of the transaction under way

_log = logging.getLogger(__name__)

# What passes by itself: lost connections, failovers, conflicts, exhaustion, cancelled statements.
_PASSING = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement between the server's last word on a connection and its end
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    TimeoutError,
)

# What a login is refused by, until somebody mends it.
_REFUSING = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.SyntaxOrAccessError,  # and a parameter of the DSN that the server does not know
    asyncpg.DataError,  # or whose value it does not take
    asyncpg.CantChangeRuntimeParamError,
)


@asynccontextmanager
async def open_pool(dsn: Secret, schema: str, idle_transaction_s: float = 0.0) -> AsyncIterator[Pool]:
    """Yield a pool whose connections see ``schema`` first; closed at the end.

    ``idle_transaction_s``: seconds after which the server ends a transaction in which nothing is asked, so that a
    process that was paused keeps no locks; 0 for never. Raises QmtlError: DEPENDENCY_UNAVAILABLE when the server does
    not answer, NOT_CONFIGURED when it refuses the login or the DSN is none.
    """
    with translated_errors(OSError), logging_in(dsn):
        pool = await asyncpg.create_pool(
            dsn.value,
            min_size=POOL_MIN_CONNECTIONS,
            max_size=POOL_MAX_CONNECTIONS,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            reset=_leave_as_it_is,
            init=_observe if tracing.are_recorded() else None,
            server_settings={
                "search_path": schema,
                "application_name": f"qmtl-{schema}",
                "TimeZone": "UTC",
                "jit": "off",
                "client_connection_check_interval": f"{CONNECTION_CHECK_SECONDS}s",
                "idle_in_transaction_session_timeout": str(round(idle_transaction_s * 1_000)),
            },
        )
    try:
        yield pool
    finally:
        await pool.close()


def check_encryption_stated(dsn: Secret) -> None:
    """Raise QmtlError NOT_CONFIGURED for a DSN of another machine that does not say how the connection is encrypted.

    Left to itself the driver encrypts where it can, and believes whoever answers.
    """
    parts = urlsplit(dsn.value)
    stated = parse_qs(parts.query)
    named = parts.netloc.rpartition("@")[2] or stated.get("host", [""])[0]
    hosts = [unquote(urlsplit(f"//{each}").hostname or "") or each for each in named.split(",")]
    if "sslmode" not in stated and not all(
        not host or host.lower().startswith(("/", "%2f")) or is_loopback(host) for host in hosts
    ):
        raise _refused(
            "QMTL_POSTGRES_DSN names another machine and no sslmode: add ?sslmode=verify-full, or say otherwise"
        )


def check_certificates_readable(dsn: Secret) -> None:
    """Raise QmtlError NOT_CONFIGURED for a file of certificates that a DSN names, or needs, and nobody can read."""
    stated = parse_qs(urlsplit(dsn.value).query)
    for name in ("sslrootcert", "sslcert", "sslkey"):
        file = stated.get(name, [""])[0]
        if file and not os.access(file, os.R_OK):
            raise _refused(f"QMTL_POSTGRES_DSN: the file {file} of its {name} cannot be read")
    verifies = stated.get("sslmode", [""])[0] in ("verify-ca", "verify-full")
    given = "sslrootcert" in stated or os.environ.get("PGSSLROOTCERT")
    if verifies and not given and not os.access(Path("~/.postgresql/root.crt").expanduser(), os.R_OK):
        raise _refused("QMTL_POSTGRES_DSN: it does not say who signs the server's certificate: add &sslrootcert=FILE")


@contextmanager
def logging_in(dsn: Secret) -> Iterator[None]:
    """Refuse a DSN that must not be dialled, and turn what does not pass by itself of the first connection by it into
    QmtlError(NOT_CONFIGURED)."""
    try:
        check_encryption_stated(dsn)
        check_certificates_readable(dsn)
        yield
    except _REFUSING as error:
        raise _refused(f"PostgreSQL refuses the login of QMTL_POSTGRES_DSN: {error}") from error
    except asyncpg.PostgresError as error:  # of a pooler before it, or a database that takes nobody
        if isinstance(error, _PASSING):
            raise
        raise _refused(f"PostgreSQL refuses the login of QMTL_POSTGRES_DSN: {error}") from error
    except ValueError as error:  # its text may repeat the password
        if isinstance(error, OSError):  # a certificate that is not believed
            raise
        raise _refused(
            "QMTL_POSTGRES_DSN is no DSN of PostgreSQL: postgresql://user:password@host:5432/qmtl"
        ) from error


def _refused(sentence: str) -> QmtlError:
    return QmtlError(Reason.NOT_CONFIGURED, sentence, metadata={"setting": "QMTL_POSTGRES_DSN"})


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection of the pool; each statement commits by itself."""
    with translated_errors(OSError):
        connection = await pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        with translated_errors(), _abandoned_in_time(connection):
            yield connection
    finally:
        await pool.release(connection, timeout=CONNECT_TIMEOUT_SECONDS)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection inside one transaction: committed at the end, rolled back on an exception."""
    with _deferring() as acts:
        async with acquire(pool) as connection, connection.transaction():
            with _abandoned_in_time(connection):
                yield connection
    for act in acts:
        act()


def after_commit(act: Callable[[], None]) -> None:
    """Act once the transaction that goes on is committed, and not at all where it is rolled back; without one, now."""
    acts = _acts.get()
    if acts is None:
        act()
    else:
        acts.append(act)


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection that only reads, and whose statements all see the database at one moment."""
    async with acquire(pool) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


@asynccontextmanager
async def rehearsal(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection inside a transaction that is rolled back at the end: everything is checked, nothing stays."""
    with _deferring():
        async with acquire(pool) as connection:
            rehearsed = connection.transaction()
            await rehearsed.start()
            try:
                yield connection
            finally:
                await rehearsed.rollback()


async def ping(pool: Pool) -> None:
    """Make a round trip; raise QmtlError(DEPENDENCY_UNAVAILABLE) when there is none."""
    async with acquire(pool) as connection:
        await connection.execute("SELECT 1")


async def _leave_as_it_is(_connection: Connection) -> None:
    """Spare a round trip: a transaction left open is rolled back before this, and nothing else outlives one.

    What a session would keep (settings, LISTEN, advisory locks beyond a transaction, cursors) is not used on a pool.
    """


async def _observe(connection: Connection) -> None:
    connection.add_query_logger(_span_statement)


def _span_statement(statement: asyncpg.connection.LoggedQuery) -> None:
    """Record a statement within the trace of who asked it; its values are nobody's business."""
    if not tracing.is_sampled():
        return
    ended = utc_now()
    text = " ".join(statement.query.split())
    operation = text.partition(" ")[0].rstrip(";")
    tracing.past(
        operation,
        ended - timedelta(seconds=statement.elapsed),
        ended,
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.operation.name": operation, "db.query.text": text},
        fault="" if statement.exception is None else tracing.kind_of(statement.exception),
    )


@contextmanager
def _abandoned_in_time(connection: Connection) -> Iterator[None]:
    """Give a connection up on which time ran out, or that its driver has lost track of: it may be dead, and its
    rollback would take as long again."""
    try:
        yield
    except (TimeoutError, asyncpg.InternalClientError):
        connection.terminate()
        raise


@contextmanager
def _deferring() -> Iterator[list[Callable[[], None]]]:
    """Yield what is to be done after the commit of the transaction that begins."""
    before, acts = _acts.get(), list[Callable[[], None]]()
    _acts.set(acts)
    try:
        yield acts
    finally:
        _acts.set(before)


@contextmanager
def translated_errors(*others: type[Exception]) -> Iterator[None]:
    """Turn what passes by itself, and ``others``, into QmtlError(DEPENDENCY_UNAVAILABLE); log the driver's text."""
    try:
        yield
    except (*_PASSING, *others) as error:
        _log.warning("postgres: %s: %s", type(error).__name__, error)
        raise QmtlError(
            Reason.DEPENDENCY_UNAVAILABLE, "PostgreSQL does not answer; try again", metadata={"dependency": "postgres"}
        ) from error
