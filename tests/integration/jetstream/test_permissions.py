"""What each service may do in NATS, tried on a real nats-server as that service's user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats as client
import pytest

from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.jetstream.permissions import OWNERS, PUBLISHED
from qmtl_foundation.jetstream.streams import (
    StreamSpec,
    control_stream,
    event_subject,
    inbox_of,
    intent_subject,
    mark_subject,
    order_stream,
    report_stream,
    report_subject,
)
from qmtl_sdk.local import nats
from qmtl_sdk.local.progress import ProcessStatus
from qmtl_sdk.local.stack import up
from qmtl_sdk.local.state import Layout

SERVICES = tuple(PUBLISHED)
# Who may publish what: said once more, apart from the permissions themselves.
WRITERS = {
    "ingest.submission": {"gateway"},
    intent_subject("w", "paper"): {"gateway"},
    mark_subject("w"): {"world"},
    event_subject("w"): {"world"},
    report_subject("w"): {"executor"},
    "anything.else": set(),
    "_INBOX.world.x": set(),
    "$JS.API.STREAM.DELETE.orders": set(),
    "$JS.API.STREAM.PURGE.orders": {"world"},
    "$JS.API.STREAM.PURGE.control": set(),
    "$JS.API.STREAM.PURGE.reports": set(),
    "$JS.API.STREAM.MSG.DELETE.orders": set(),
    "$JS.API.STREAM.UPDATE.ingest": {"gateway"},
    "$JS.API.STREAM.UPDATE.control": {"world"},
    "$JS.API.STREAM.UPDATE.orders": {"world"},
    "$JS.API.STREAM.UPDATE.reports": {"executor"},
    "$JS.API.STREAM.CREATE.another": set(),
    "$JS.API.CONSUMER.DELETE.ingest.gateway-workers": {"gateway"},
    "$JS.ACK.ingest.gateway-workers.1.1.1.1.1": {"gateway"},
    "$SYS.REQ.SERVER.PING": set(),
    "$JS.API.CONSUMER.CREATE.ingest": {"gateway"},
    "$JS.API.CONSUMER.CREATE.control.one.control.activation.w": {"gateway"},
    "$JS.API.CONSUMER.CREATE.orders.one.orders.w.mark": {"executor"},
    "$JS.API.CONSUMER.CREATE.reports": {"gateway"},
    "$JS.API.CONSUMER.MSG.NEXT.orders.one": {"executor"},
    "$JS.API.STREAM.MSG.GET.control": {"world"},
    "$JS.API.STREAM.MSG.GET.orders": {"world"},
    "$JS.API.STREAM.MSG.GET.reports": set(),
}
HEARERS = {
    ">": set(),
    "orders.>": set(),
    "control.>": set(),
    mark_subject("w"): {"executor"},
    intent_subject("w", "paper"): set(),
    event_subject("w"): set(),
    "_INBOX.>": set(),
    **{f"{inbox_of(service)}.x": {service} for service in SERVICES},
}

MANY_BYTES = 1_000_000_000
LOOKED_AT = {"ingest": (), "control": ("gateway",), "orders": ("gateway", "executor"), "reports": ("gateway",)}


@dataclass(frozen=True, slots=True)
class Server:
    """Reach a nats-server as any of its users."""

    status: ProcessStatus
    directory: Path

    @property
    def passwords(self) -> dict[str, str]:
        return dict(nats.read_passwords(Layout(self.directory).auth))

    @asynccontextmanager
    async def by(self, service: str) -> AsyncIterator[Any]:
        """Yield a connection of a user, and what it was refused."""
        refused: list[str] = []

        async def note(error: Exception) -> None:
            refused.append(str(error).lower())

        url = nats.url(self.status.address, service, self.passwords)
        connection = await client.connect(url, error_cb=note, inbox_prefix=inbox_of(service).encode())
        try:
            yield _By(connection, refused)
        finally:
            await connection.close()


@dataclass(slots=True)
class _By:
    connection: Any
    refused: list[str] = field(default_factory=list)

    async def may(self, act: Any) -> bool:
        self.refused.clear()
        await act
        await self.connection.request("$JS.API.INFO", timeout=5.0)  # its answer comes behind a refusal
        return not any("permissions violation" in each for each in self.refused)


@pytest.fixture
async def server(state_dir: Path) -> Server:
    """Give a server with the streams of the protocol, made by one who may do everything."""
    stack = await asyncio.to_thread(up, state_dir, services=())
    status = next(each for each in stack.processes if each.name == nats.NAME)
    made = Server(status, state_dir)
    async with open_bus(nats.url(status.address, nats.OPERATOR, made.passwords), "operator") as bus:
        for spec in (control_stream(1), order_stream(1), report_stream(1), StreamSpec("ingest", ("ingest.>",))):
            await bus.ensure_stream(spec)
    return made


async def test_each_subject_has_the_writers_and_hearers_that_it_should_have(server: Server) -> None:
    wrong = []
    for service in SERVICES:
        async with server.by(service) as by:
            for subject, writers in WRITERS.items():
                if await by.may(by.connection.publish(subject, b"{}")) != (service in writers):
                    wrong.append(f"{service} publishes {subject}")
            for subject, hearers in HEARERS.items():
                if await by.may(by.connection.subscribe(subject)) != (service in hearers):
                    wrong.append(f"{service} hears {subject}")
    assert not wrong


@pytest.mark.parametrize("stream", OWNERS)
async def test_only_its_owner_changes_a_stream_that_stands(server: Server, stream: str) -> None:
    changed = StreamSpec(stream, (f"{stream}.>",), max_bytes=MANY_BYTES)
    for service in (*LOOKED_AT[stream], OWNERS[stream]):
        async with open_bus(nats.url(server.status.address, service, server.passwords), service) as bus:
            await bus.ensure_stream(changed)
            found = (await bus.jetstream.stream_info(stream)).config.max_bytes
            assert (found == MANY_BYTES) == (service == OWNERS[stream])


@pytest.mark.parametrize("stated", [{"user": "gateway", "pass": "wrong"}, {"user": "nobody", "pass": "x"}, {}])
async def test_a_stranger_is_not_let_in(server: Server, stated: dict[str, str]) -> None:
    host, _, port = server.status.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.readline()).startswith(b"INFO ")
    writer.write(f"CONNECT {json.dumps(stated)}\r\nPING\r\n".encode())
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


def test_passwords_are_for_their_user_only(server: Server) -> None:
    auth, config = Layout(server.directory).auth, Layout(server.directory).nats / "nats.conf"
    assert {path.stat().st_mode & 0o077 for path in (auth / nats.PASSWORDS, config)} == {0}
