"""Every guard that docs/architecture/apply.md names, in the order of the invariants."""

from __future__ import annotations

from typing import Final

from tests.guards.executor import EXECUTOR
from tests.guards.gateway import GATEWAY
from tests.guards.guard import PLACES
from tests.guards.runner import RUNNER
from tests.guards.world import WORLD

INVARIANTS: Final = (*(f"S{number}" for number in range(1, 14)), "L1")


def _order(place: str, invariant: str) -> tuple[int, int]:
    return INVARIANTS.index(invariant), list(PLACES.values()).index(place)


GUARDS: Final = tuple(
    sorted((*WORLD, *GATEWAY, *EXECUTOR, *RUNNER), key=lambda each: _order(each.place, each.invariant))
)
