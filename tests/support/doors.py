"""Doors of servers in a test's own process: one that knows an issuer's callers, and one that stands open."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_sdk.local.issuer import ISSUER, Issuer, open_issuer


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Yield an issuer of the test's own; its keys are gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield open_issuer(Path(folder) / "auth")


def believing(issuer: Issuer) -> AuthSettings:
    """Return the settings of a server that believes an issuer."""
    return AuthSettings(jwks=str(issuer.jwks), issuer=ISSUER)


class OpenDoor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Let everyone in: for servers of methods that no contract has."""

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return await continuation(handler_call_details)
