"""Allocations as messages of the contract."""

from __future__ import annotations

from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_pb2
from qmtl_foundation.rpc.timestamps import to_timestamp
from qmtl_world.allocation.model import AllocationSnapshot


def to_allocations(snapshot: AllocationSnapshot) -> allocation_pb2.AllocationSnapshot:
    """Return the message of a world's allocations."""
    return allocation_pb2.AllocationSnapshot(
        world=snapshot.world,
        strategies=[
            allocation_pb2.StrategyAllocation(strategy_id=each.strategy_id, weight=each.weight)
            for each in snapshot.strategies
        ],
        cash=snapshot.cash,
        epoch=snapshot.epoch,
        etag=snapshot.etag,
        create_time=to_timestamp(snapshot.create_time) if snapshot.create_time else None,
    )
