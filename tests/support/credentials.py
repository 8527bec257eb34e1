"""Tokens of a stack's own issuer, and channels whose calls carry them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.auth.caller import SERVICE_PREFIX, SERVICES
from qmtl_sdk.local import nats
from qmtl_sdk.local.issuer import ADMIN, Issuer, open_issuer
from qmtl_sdk.local.progress import ProcessStatus
from qmtl_sdk.local.service import Ground
from qmtl_sdk.local.state import Layout

EVERYTHING: Final = (ADMIN, *(SERVICE_PREFIX + each for each in sorted(SERVICES)))


def issuer_of(state_dir: Path) -> Issuer:
    """Return the issuer of the stack in a directory."""
    return open_issuer(Layout(state_dir).auth)


def ground_of(state_dir: Path, postgres_dsn: str, nats_address: str) -> Ground:
    """Return what services of the stack in a directory stand on, reached at other addresses."""
    return Ground(postgres_dsn, nats_address, nats.read_passwords(Layout(state_dir).auth), issuer_of(state_dir))


def nats_url_of(server: ProcessStatus) -> str:
    """Return what dials a stack's nats-server as one who may do everything."""
    state_dir = server.log.parents[1]
    return nats.url(server.address, nats.OPERATOR, nats.read_passwords(Layout(state_dir).auth))


def token_of(state_dir: Path, name: str = "ann", permissions: Sequence[str] = EVERYTHING) -> str:
    """Return a token that a stack's services believe; by default one that may do everything, a service's part too."""
    return issuer_of(state_dir).token(name, permissions)


class Bearing:
    """Be a channel, synchronous or not, whose calls carry a token; one that states no deadline ends after ``seconds``,
    where they are given."""

    def __init__(self, channel: Any, token: str, seconds: float | None = None) -> None:
        self._channel = channel
        self._stated: dict[str, Any] = {"metadata": (("authorization", f"Bearer {token}"),)}
        if seconds is not None:
            self._stated["timeout"] = seconds

    def unary_unary(self, *method: Any, **codec: Any) -> Any:
        return partial(self._channel.unary_unary(*method, **codec), **self._stated)

    def unary_stream(self, *method: Any, **codec: Any) -> Any:
        return partial(self._channel.unary_stream(*method, **codec), **self._stated)

    def stream_stream(self, *method: Any, **codec: Any) -> Any:
        return partial(self._channel.stream_stream(*method, **codec), **self._stated)
