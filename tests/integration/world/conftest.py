"""A gateway played by the test, which every run of the stack waits for while the test goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.support.applies import PlayedGateway, execute, played_gateway
from tests.support.credentials import token_of


@pytest.fixture
def played(parts: dict[str, ProcessStatus], stack: StackStatus) -> Iterator[PlayedGateway]:
    """Give it; other tests do not wait until its lease has ended."""
    with played_gateway(parts["world"].address, token_of(stack.state_dir)) as gateway:
        yield gateway
    ended = f"DELETE FROM world.participant WHERE name = '{gateway.name}'"  # noqa: S608  # a name of ours
    asyncio.run(execute(parts["postgres"].address, ended))
