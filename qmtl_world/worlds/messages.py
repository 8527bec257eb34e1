"""Worlds, policies, bindings and decisions as messages of the contract, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from qmtl_foundation.errors import invalid_field, within
from qmtl_foundation.execution_domain import DECISION_TTL_SECONDS, EffectiveMode, parse_mode
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance, Sizing, SizingRule
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2
from qmtl_foundation.rpc.modes import mode_text, to_mode
from qmtl_foundation.rpc.timestamps import to_datetime, to_timestamp
from qmtl_world.worlds.model import (
    BoundDataset,
    Decision,
    PolicyVersion,
    SharePolicy,
    World,
    WorldSpec,
)

Known = TypeVar("Known")

DEFAULT_CASH = 1_000_000.0
DEFAULT_GROSS = 1.0

_FILLS = {world_pb2.FILL_UNSPECIFIED: Fill.NEXT_OPEN, world_pb2.FILL_NEXT_OPEN: Fill.NEXT_OPEN}
_FILLS |= {world_pb2.FILL_CLOSE: Fill.CLOSE}
_REBALANCES = {
    world_pb2.REBALANCE_UNSPECIFIED: Rebalance.ON_CHANGE,
    world_pb2.REBALANCE_ON_CHANGE: Rebalance.ON_CHANGE,
    world_pb2.REBALANCE_EVERY_BAR: Rebalance.EVERY_BAR,
    world_pb2.REBALANCE_DRIFT: Rebalance.DRIFT,
}
_SIZINGS = {
    world_pb2.SIZING_UNSPECIFIED: Sizing.LONG_ONLY,
    world_pb2.SIZING_LONG_ONLY: Sizing.LONG_ONLY,
    world_pb2.SIZING_LONG_SHORT: Sizing.LONG_SHORT,
}
_SHARES = {
    world_pb2.SHARE_POLICY_UNSPECIFIED: SharePolicy.UNSTATED,
    world_pb2.SHARE_POLICY_WORLD: SharePolicy.WORLD,
    world_pb2.SHARE_POLICY_GLOBAL: SharePolicy.GLOBAL,
}


def from_world(message: world_pb2.World) -> WorldSpec:
    """Return what a message states of a world; raise QmtlError naming the field that cannot be."""
    with within("world"):
        execution_model, sizing_rule = from_execution_model(message.execution_model), _from_sizing(message.sizing_rule)
    return WorldSpec(
        name=message.name,
        data_preset=message.data_preset,
        bars_per_year=message.bars_per_year,
        description=message.description,
        mode=_mode(message.mode),
        allow_live=message.allow_live,
        execution_model=execution_model,
        sizing_rule=sizing_rule,
        share_policy=_known("world.share_policy", message.share_policy, _SHARES),
        decision_ttl_s=message.decision_ttl_s or DECISION_TTL_SECONDS,
    )


def to_world(world: World) -> world_pb2.World:
    """Return the message of a world."""
    spec = world.spec
    return world_pb2.World(
        name=spec.name,
        description=spec.description,
        data_preset=spec.data_preset,
        bars_per_year=spec.bars_per_year,
        mode=to_mode(spec.mode),
        allow_live=spec.allow_live,
        execution_model=_to_execution_model(spec.execution_model),
        sizing_rule=world_pb2.SizingRule(
            sizing=_number(_SIZINGS, spec.sizing_rule.kind), gross_limit=spec.sizing_rule.gross_limit
        ),
        share_policy=_number(_SHARES, spec.share_policy),
        decision_ttl_s=spec.decision_ttl_s,
        active_policy_version=world.active_policy_version,
        etag=world.etag,
        create_time=to_timestamp(world.create_time),
        update_time=to_timestamp(world.update_time),
    )


def from_execution_model(message: world_pb2.ExecutionModel) -> ExecutionModel:
    """Return the execution model of a message."""
    with within("execution_model"):
        return ExecutionModel(
            fill=_known("fill", message.fill, _FILLS),
            slippage_bp=message.slippage_bp,
            fee_bp=message.fee_bp,
            rebalance=_known("rebalance", message.rebalance, _REBALANCES),
            drift=message.drift,
            can_short=message.can_short,
            initial_cash=message.initial_cash or DEFAULT_CASH,
            cash_rate=message.cash_rate,
        )


def to_policy(policy: PolicyVersion) -> world_pb2.Policy:
    """Return the message of a policy version."""
    return world_pb2.Policy(
        world=policy.world,
        version=policy.version,
        yaml=policy.yaml,
        active=policy.active,
        create_time=to_timestamp(policy.create_time),
        content_id=policy.content_id,
    )


def to_decision(decision: Decision) -> world_pb2.Decision:
    """Return the message of a decision."""
    return world_pb2.Decision(
        world=decision.world,
        strategy_id=decision.strategy_id,
        effective_mode=to_mode(decision.effective_mode),
        reason=decision.reason,
        policy_version=decision.policy_version,
        as_of=decision.as_of,
        expire_time=to_timestamp(decision.expire_time),
        etag=decision.etag,
        allow_live=decision.allow_live,
    )


def from_dataset(message: world_pb2.BoundDataset) -> BoundDataset:
    """Return what data a binding states."""
    return BoundDataset(
        preset=message.preset,
        as_of=message.as_of,
        fingerprint=message.fingerprint,
        newest_as_of=message.newest_as_of,
        end_time=to_datetime(message.end_time) if message.HasField("end_time") else None,
        coverage=message.coverage,
        gaps=message.gaps,
    )


def _mode(number: int) -> EffectiveMode:
    mode = EffectiveMode.COMPUTE_ONLY if number == 0 else parse_mode(mode_text(number))
    if mode is None:
        raise invalid_field("world.mode", f"{number} is none that this release knows")
    return mode


def _from_sizing(message: world_pb2.SizingRule) -> SizingRule:
    with within("sizing_rule"):
        return SizingRule(_known("sizing", message.sizing, _SIZINGS), message.gross_limit or DEFAULT_GROSS)


def _to_execution_model(model: ExecutionModel) -> world_pb2.ExecutionModel:
    return world_pb2.ExecutionModel(
        fill=_number(_FILLS, model.fill),
        slippage_bp=model.slippage_bp,
        fee_bp=model.fee_bp,
        rebalance=_number(_REBALANCES, model.rebalance),
        drift=model.drift,
        can_short=model.can_short,
        initial_cash=model.initial_cash,
        cash_rate=model.cash_rate,
    )


def _known(field: str, number: int, values: Mapping[Any, Known]) -> Known:
    """Return the value of an enum's number; a number of a newer release is refused, never guessed."""
    if number not in values:
        raise invalid_field(field, f"{number} is none that this release knows")
    return values[number]


def _number(values: Mapping[Any, Known], value: Known) -> Any:
    """Return the number that stands for a value: the stated one, not "unspecified"."""
    return [number for number, each in values.items() if each == value][-1]
