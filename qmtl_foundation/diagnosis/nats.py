"""Whether a service can log in to each nats-server, whether JetStream is on, and whether its user may do its part: as
far as that can be tried without a trace, for nothing is published on a stream.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import nats.js.errors

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import CONNECT_TIMEOUT_SECONDS, Bus, open_bus, servers_of
from qmtl_foundation.jetstream.permissions import HEARD, LOOKED_AT
from qmtl_foundation.jetstream.streams import inbox_of
from qmtl_foundation.settings import Secret
from qmtl_foundation.tls import Certificates

WHAT: Final = "NATS"
_VIOLATION: Final = "permissions violation"
_UNAUTHORIZED: Final = "authorization violation"


async def examine_nats(url: Secret, service: str, certificates: Certificates | None) -> list[Finding]:
    """Return how each server that a URL names is."""
    servers = servers_of(url.value)
    who = urlsplit(servers[0]).netloc.rpartition("@")[0]
    found = []
    for server in servers:
        parts = urlsplit(server)
        address = parts.netloc.rpartition("@")[2]
        own = parts._replace(netloc=f"{who}@{address}" if who else address).geturl()
        found += await _examine(WHAT if len(servers) == 1 else f"{WHAT} ({address})", own, service, certificates)
    return found


async def _examine(what: str, server: str, service: str, certificates: Certificates | None) -> list[Finding]:
    noted: list[Exception] = []

    async def note(error: Exception) -> None:
        noted.append(error)

    try:
        async with open_bus(server, service, certificates, patient=False, on_error=note) as bus:
            version = bus.connection.connected_server_version
            login = ok(what, f"{version} answers; logged in {_as_whom(server)}")
            return [login, await _part(bus, what, service, noted)]
    except QmtlError as error:
        return [_not_let_in(what, error, noted)]


def _as_whom(server: str) -> str:
    """Return who a URL says one is; without a password the name is a token, which is a secret."""
    parts = urlsplit(server)
    if not parts.username:
        return "unnamed"
    return "by a token" if parts.password is None else f"as {parts.username}"


def _not_let_in(what: str, error: QmtlError, noted: Sequence[Exception]) -> Finding:
    cause = noted[-1] if noted else error.__cause__
    if cause is None:  # a setting's own fault
        return fault(what, error.message, "mend QMTL_NATS_URL")
    if _UNAUTHORIZED in str(cause).lower():
        return fault(what, "refuses the login", "state a user and its password in QMTL_NATS_URL as the server has them")
    if isinstance(cause, ssl.SSLError):
        mend = "have both signed by authorities that the other trusts; the server needs handshake_first"
        return fault(what, f"the connection cannot be encrypted ({cause})", mend)
    if isinstance(cause, TimeoutError):
        return fault(
            what, f"does not answer within {CONNECT_TIMEOUT_SECONDS} s", "mend the way to it, or QMTL_NATS_URL"
        )
    says = f"does not answer ({str(cause) or type(cause).__name__})"
    return fault(what, says, "start it, or mend host and port in QMTL_NATS_URL")


async def _part(bus: Bus, what: str, service: str, noted: Sequence[Exception]) -> Finding:
    """Return whether a user may hear its answers and look at its streams, and whether JetStream answers."""
    inbox = f"{inbox_of(service)}.check"
    for subject in (inbox, *HEARD.get(service, ())):
        await bus.connection.subscribe(subject)
    for subject in LOOKED_AT[service]:
        await bus.connection.publish(subject, b"", reply=inbox)
    for _ in range(2):  # the driver's first ping may overtake what waits to be written; the second's answer comes last
        await bus.connection.flush(CONNECT_TIMEOUT_SECONDS)
    said = [str(each).lower() for each in noted]
    denied = [each.partition(_VIOLATION)[2].strip() for each in said if _VIOLATION in each]
    if denied:
        mend = (
            f"give it the permissions of {service}: `python -m qmtl_foundation.jetstream.permissions`; "
            f"is it {service}'s user?"
        )
        return fault(f"{what}, permissions", f"its user lacks some: {', '.join(denied)}", mend)
    try:
        await bus.ping()
    except QmtlError as error:
        if isinstance(error.__cause__, nats.js.errors.ServiceUnavailableError):
            return fault(
                f"{what}, JetStream", "is off", "start the nats-server with JetStream, and on for this account"
            )
        says = f"does not answer ({type(error.__cause__).__name__})"
        return fault(f"{what}, JetStream", says, "look into the log of the nats-server: has its cluster a leader?")
    return ok(f"{what}, JetStream", "answers, and its user may look at what it needs")
