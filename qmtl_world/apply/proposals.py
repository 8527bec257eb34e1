"""What a world's newest round says shall trade, and what of it waits for its apply run. SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.codec import decode_activations, encode_activations
from qmtl_world.apply.model import Activation

_GET = "SELECT * FROM proposal WHERE world = $1"
_PUT = """
INSERT INTO proposal (world, round_id, says, pending, waits_for, trace) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (world) DO UPDATE SET round_id = excluded.round_id, says = excluded.says, pending = excluded.pending,
                                  waits_for = excluded.waits_for, trace = excluded.trace
"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Hold what a round says. ``pending`` None: nothing waits. ``waits_for`` says in one sentence what keeps it.
    ``trace``: what its run is to belong to, as a ``traceparent``.
    """

    world: str
    round_id: int
    says: tuple[Activation, ...]
    pending: tuple[Activation, ...] | None = None
    waits_for: str = ""
    trace: str = ""


async def read_proposal(connection: Connection, world: str) -> Proposal | None:
    """Return what the newest round said, or None before the first."""
    row = await connection.fetchrow(_GET, world)
    if row is None:
        return None
    pending = None if row["pending"] is None else decode_activations(row["pending"])
    says = decode_activations(row["says"])
    return Proposal(world, row["round_id"], says, pending, row["waits_for"], row["trace"])


async def put_proposal(connection: Connection, proposal: Proposal) -> None:
    """Replace what the newest round said."""
    await connection.execute(
        _PUT,
        proposal.world,
        proposal.round_id,
        encode_activations(proposal.says),
        _encode(proposal.pending),
        proposal.waits_for,
        proposal.trace,
    )


def _encode(activations: Sequence[Activation] | None) -> str | None:
    return None if activations is None else encode_activations(activations)
