"""One stack for the tests of who is let in, with a world and a submission that requests name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qmtl_sdk.local.progress import StackStatus
from tests.security.matrix import Scene
from tests.security.scene import set_scene
from tests.support.credentials import token_of
from tests.support.desk import Desk, dial
from tests.support.stack import stack

__all__ = ["stack"]


@pytest.fixture(scope="session")
def desk(stack: StackStatus) -> Iterator[Desk]:
    """Give a client that may do everything."""
    with dial(stack.gateway_address, token_of(stack.state_dir)) as client:
        yield client


@pytest.fixture
def scene(stack: StackStatus, desk: Desk) -> Scene:
    """Give a world of the test's own."""
    return set_scene(stack, desk)
