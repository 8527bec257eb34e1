"""One stack with the real services for all tests that it survives; each test makes worlds of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.support.credentials import token_of
from tests.support.desk import Desk, dial
from tests.support.stack import migrated_dsn, migrated_template, nats_url, postgres_dsn, servers, stack

__all__ = ["desk", "migrated_dsn", "migrated_template", "nats_url", "parts", "postgres_dsn", "servers", "stack"]


@pytest.fixture(scope="session")
def parts(stack: StackStatus) -> dict[str, ProcessStatus]:
    """Give the stack's processes by name."""
    return {process.name: process for process in stack.processes}


@pytest.fixture(scope="session")
def desk(stack: StackStatus) -> Iterator[Desk]:
    """Give a client of the stack's gateway."""
    with dial(stack.gateway_address, token_of(stack.state_dir)) as client:
        yield client
