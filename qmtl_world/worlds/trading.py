"""What a world asks of the rooms above it; the bootstrap gives it, so that no room imports one above its own."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2 as pb
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.worlds.model import InForce, PolicyVersion, World


class Trading(Protocol):
    """Say what trades in a world, and let it follow the world's changes within their transactions."""

    async def check_policy(self, text: bytes) -> str:
        """Return the content id of a well-formed policy; raise INVALID_POLICY with every fault."""

    async def in_force(self, connection: Connection, world: str, strategy_id: str) -> InForce | None:
        """Return the version of a strategy that may trade, or None."""

    async def admit_world(self, connection: Connection, world: str) -> None:
        """Raise WORLD_NAME_USED for a new world whose name is that of a deleted one that had orders."""

    async def close_world(self, connection: Connection, world: str) -> None:
        """Let a locked world's executors go; raise WORLD_NOT_EMPTY while a strategy may trade, RUN_IN_PROGRESS."""

    async def follow_world(self, connection: Connection, world: World, now: datetime) -> None:
        """Let a locked world trade as it is stated now: its executor, and its round; what that refuses leaves."""

    async def follow_policy(self, connection: Connection, world: World, policy: PolicyVersion, now: datetime) -> None:
        """Decide a locked world's round under the policy that has come into force: what it refuses leaves."""

    async def status(self, connection: Connection, world: World) -> pb.GetWorldStatusResponse:
        """Return where every strategy of a world stands."""
