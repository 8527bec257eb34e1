"""Each caller at each method, asked of a running stack; and the table that ``docs/operations/security.md`` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import grpc

from qmtl_sdk.local.progress import StackStatus
from tests.security.callers import AUTHOR, CALLERS, Who
from tests.security.methods import ask, naming, server_of
from tests.support.contract import METHODS
from tests.support.credentials import issuer_of

LET_IN: Final = "yes"
REFUSED: Final = "·"
FAULTS: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNKNOWN,
    }
)
HEADINGS: Final = ("method", *(each.title for each in CALLERS))


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold a stack, and what requests name in it: a world, a strategy, a submission."""

    stack: StackStatus
    world: str
    submission: str
    strategy: str = f"{AUTHOR}/Trend"

    def request(self, method: Any) -> bytes:
        """Return a method's request."""
        content: bytes = naming(method, self.world, self.strategy, self.submission).SerializeToString()
        return content


def tried(scene: Scene, callers: Sequence[Who] = CALLERS) -> Mapping[tuple[str, str], grpc.StatusCode]:
    """Return how each method answered each caller, by the method's full name and the caller's title.

    Each is asked of the process that answers for it, past the gateway: no service leaves its door to another.
    """
    issuer = issuer_of(scene.stack.state_dir)
    addresses = {each.name: each.address for each in scene.stack.processes}
    found = {}
    with ExitStack() as stack:
        channels = {
            name: stack.enter_context(grpc.insecure_channel(addresses[name])) for name in ("world", "dagmgr", "gateway")
        }
        for who in callers:
            token = who.token(issuer, scene.world)
            for method in METHODS:
                status = ask(channels[server_of(method)], method, scene.request(method), token)
                found[method.full_name, who.title] = status
    return found


def outcome(status: grpc.StatusCode) -> str:
    """Return a cell of the table; fail for a status that no request may bring about."""
    assert status not in FAULTS, status
    assert status is not grpc.StatusCode.UNAUTHENTICATED, status
    return REFUSED if status is grpc.StatusCode.PERMISSION_DENIED else LET_IN


def table(found: Mapping[tuple[str, str], grpc.StatusCode]) -> str:
    """Return the matrix as Markdown."""
    return _markdown(
        (
            f"`{method.full_name}`",
            *(outcome(found[method.full_name, each.title]) for each in CALLERS),
        )
        for method in METHODS
    )


def _markdown(rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(HEADINGS)} |", f"| --- {'| :-: ' * len(CALLERS)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
