"""Whether a service can log in to PostgreSQL, as whom, and whether its schema is the program's."""

from __future__ import annotations

import ssl
from typing import Final

import asyncpg

from qmtl_foundation.diagnosis.finding import Finding, fault, ok, warning
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres.migrate import current_revision, newest_revision, role_of
from qmtl_foundation.postgres.pool import CONNECT_TIMEOUT_SECONDS, Connection, acquire, open_pool
from qmtl_foundation.settings import Secret

WHAT: Final = "PostgreSQL"
_MIGRATE: Final = "run `qmtl migrate` with the DSN of the schemas' owner"
_MENDS: Final = (
    (asyncpg.InvalidPasswordError, "state the role's password in QMTL_POSTGRES_DSN"),
    (asyncpg.InvalidCatalogNameError, "create the database and run `qmtl migrate`, or name another"),
    (asyncpg.InvalidAuthorizationSpecificationError, "name a role that there is and that pg_hba.conf lets in"),
)


async def examine_postgres(dsn: Secret, schema: str) -> list[Finding]:
    """Return how the login and the schema are."""
    try:
        async with open_pool(dsn, schema) as pool, acquire(pool) as connection:
            return [await _login(connection, schema), await _schema(connection, schema)]
    except QmtlError as error:
        return [_refused(error)]


def _refused(error: QmtlError) -> Finding:
    cause = error.__cause__
    if error.reason is Reason.NOT_CONFIGURED:
        mend = next((text for kind, text in _MENDS if isinstance(cause, kind)), "mend QMTL_POSTGRES_DSN")
        return fault(WHAT, error.message, mend)
    if isinstance(cause, TimeoutError):
        says = f"does not answer within {CONNECT_TIMEOUT_SECONDS:g} s"
        return fault(WHAT, says, "mend the way to it; is the host in QMTL_POSTGRES_DSN right?")
    if isinstance(cause, ssl.SSLError):
        mend = "name the authority that signed its certificate by sslrootcert in QMTL_POSTGRES_DSN"
        return fault(WHAT, f"the connection cannot be encrypted ({cause})", mend)
    says = f"does not answer ({str(cause) or type(cause).__name__})"
    return fault(WHAT, says, "start it, or mend host and port in QMTL_POSTGRES_DSN")


async def _login(connection: Connection, schema: str) -> Finding:
    role, database, version, owns_all = await connection.fetchrow(
        "SELECT current_user, current_database(), current_setting('server_version'), rolsuper "
        "FROM pg_roles WHERE rolname = current_user"
    )
    says = f"{version} answers; logged in to {database} as {role}"
    if owns_all:
        return warning(WHAT, f"{says}, who may do everything", f"log in as {role_of(schema)}, made by `qmtl migrate`")
    return ok(WHAT, says)


async def _schema(connection: Connection, schema: str) -> Finding:
    what, newest = f"schema {schema}", newest_revision(schema)
    try:
        found = await current_revision(connection, schema)
    except asyncpg.InsufficientPrivilegeError as error:
        mend = f"log in as {role_of(schema)}; what that role lacks `qmtl migrate` grants"
        return fault(what, f"cannot be read ({error})", mend)
    if found is None:
        return fault(what, "is not there", _MIGRATE)
    if int(found) < int(newest):
        return fault(what, f"is at revision {found}, this program needs {newest}", _MIGRATE)
    if int(found) > int(newest):
        says = (
            f"is at revision {found}, this program knows up to {newest}: "
            "it runs on a schema of the next release, and may not on a later one's"
        )
        mend = "none after a rollback of one release; else run a program of the release that migrated it"
        return warning(what, says, mend)
    return ok(what, f"at revision {found}, as this program needs")
