"""Messages as plain JSON objects: the contract's field names, enums as the domain's texts, times as RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, TypeVar

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.execution_domain import WORLD_MODES, parse_mode
from qmtl_foundation.execution_domain import EffectiveMode as Mode
from qmtl_foundation.execution_model import Fill as FillText
from qmtl_foundation.execution_model import Rebalance as RebalanceText
from qmtl_foundation.execution_model import Sizing as SizingText
from qmtl_sdk._pb.qmtl.allocation.v1 import AllocationSnapshot
from qmtl_sdk._pb.qmtl.common.v1 import EffectiveMode
from qmtl_sdk._pb.qmtl.world.v1 import (
    ExecutionModel,
    Fill,
    GetWorldStatusResponse,
    Policy,
    Rebalance,
    RuleOutcome,
    SharePolicy,
    Sizing,
    SizingRule,
    StrategyStatus,
    World,
)
from qmtl_sdk.cli.world_options import UNSTATED, ShareChoice

Document = dict[str, Any]
Number = TypeVar("Number", bound=IntEnum)

MODES: Final = {
    EffectiveMode.UNSPECIFIED: Mode.COMPUTE_ONLY.value,
    EffectiveMode.VALIDATE: Mode.VALIDATE.value,
    EffectiveMode.COMPUTE_ONLY: Mode.COMPUTE_ONLY.value,
    EffectiveMode.PAPER: Mode.PAPER.value,
    EffectiveMode.LIVE: Mode.LIVE.value,
    EffectiveMode.SHADOW: Mode.SHADOW.value,
}
FILLS: Final = {
    Fill.UNSPECIFIED: FillText.NEXT_OPEN.value,
    Fill.NEXT_OPEN: FillText.NEXT_OPEN.value,
    Fill.CLOSE: FillText.CLOSE.value,
}
REBALANCES: Final = {
    Rebalance.UNSPECIFIED: RebalanceText.ON_CHANGE.value,
    Rebalance.ON_CHANGE: RebalanceText.ON_CHANGE.value,
    Rebalance.EVERY_BAR: RebalanceText.EVERY_BAR.value,
    Rebalance.DRIFT: RebalanceText.DRIFT.value,
}
SIZINGS: Final = {
    Sizing.UNSPECIFIED: SizingText.LONG_ONLY.value,
    Sizing.LONG_ONLY: SizingText.LONG_ONLY.value,
    Sizing.LONG_SHORT: SizingText.LONG_SHORT.value,
}
SHARE_POLICIES: Final = {
    SharePolicy.UNSPECIFIED: UNSTATED,
    SharePolicy.WORLD: ShareChoice.WORLD.value,
    SharePolicy.GLOBAL: ShareChoice.GLOBAL.value,
}


def mode_of(text: str) -> EffectiveMode:
    """Return the mode of a world that a text names (``sim`` is ``paper``). Raises QmtlError INVALID_FIELD."""
    mode = parse_mode(text)
    if mode is None or mode not in WORLD_MODES:
        raise invalid_field("mode", f"{text!r} is no mode of a world; write one of {', '.join(WORLD_MODES)}")
    return number_of(MODES, mode.value)


def number_of(texts: Mapping[Number, str], stated: str) -> Number:
    """Return the number of a text that is stated; never 0, which has the text of what holds where nothing is."""
    return next(number for number, text in texts.items() if number and text == stated)


def text_of(texts: Mapping[Any, str], number: IntEnum | int) -> str:
    """Return the text of an enum's number; a number of a newer release is shown as it is."""
    return texts.get(number, f"unknown ({int(number)})")


def world_document(world: World) -> Document:
    """Return a world."""
    return {
        "name": world.name,
        "description": world.description,
        "data_preset": world.data_preset,
        "bars_per_year": world.bars_per_year,
        "mode": text_of(MODES, world.mode),
        "allow_live": world.allow_live,
        "execution_model": _execution_model(world.execution_model or ExecutionModel()),
        "sizing_rule": _sizing_rule(world.sizing_rule or SizingRule()),
        "share_policy": text_of(SHARE_POLICIES, world.share_policy),
        "decision_ttl_s": world.decision_ttl_s,
        "active_policy_version": world.active_policy_version,
        "etag": world.etag,
        "create_time": moment(world.create_time),
        "update_time": moment(world.update_time),
    }


def policy_document(policy: Policy) -> Document:
    """Return a policy version."""
    return {
        "world": policy.world,
        "version": policy.version,
        "yaml": policy.yaml,
        "active": policy.active,
        "create_time": moment(policy.create_time),
        "content_id": policy.content_id,
    }


def status_document(status: GetWorldStatusResponse) -> Document:
    """Return a world's status, whole."""
    return {
        "world": world_document(status.world or World()),
        "strategies": [_strategy(each) for each in status.strategies],
        "epoch": status.epoch,
        "sequence": status.sequence,
        "trials": status.trials,
        "score": status.score,
        "as_of": status.as_of,
        "round_time": moment(status.round_time),
        "holds": list(status.holds),
        "open": status.open,
        "run_id": status.run_id,
        "waits_for": status.waits_for,
    }


def allocations_document(snapshot: AllocationSnapshot) -> Document:
    """Return a world's allocations."""
    return {
        "world": snapshot.world,
        "strategies": [{"strategy_id": each.strategy_id, "weight": each.weight} for each in snapshot.strategies],
        "cash": snapshot.cash,
        "epoch": snapshot.epoch,
        "etag": snapshot.etag,
        "create_time": moment(snapshot.create_time),
    }


def moment(time: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC, microseconds where there are any."""
    if time is None:
        return None
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _strategy(status: StrategyStatus) -> Document:
    return {
        "strategy_id": status.strategy_id,
        "strategy_version": status.strategy_version,
        "status": status.status,
        "active": status.active,
        "weight": status.weight,
        "side": status.side,
        "score": status.score,
        "contribution": status.contribution,
        "metrics": dict(sorted(status.metrics.items())),
        "rules": [_rule(each) for each in status.rules],
        "equity_curve": list(status.equity_curve),
        "eval_key": status.eval_key,
        "evaluate_time": moment(status.evaluate_time),
    }


def _rule(rule: RuleOutcome) -> Document:
    return {
        "rule": rule.rule,
        "passed": rule.passed,
        "value": rule.value,
        "limit": rule.limit,
        "message": rule.message,
    }


def _execution_model(model: ExecutionModel) -> Document:
    return {
        "fill": text_of(FILLS, model.fill),
        "slippage_bp": model.slippage_bp,
        "fee_bp": model.fee_bp,
        "rebalance": text_of(REBALANCES, model.rebalance),
        "drift": model.drift,
        "can_short": model.can_short,
        "initial_cash": model.initial_cash,
        "cash_rate": model.cash_rate,
    }


def _sizing_rule(rule: SizingRule) -> Document:
    return {"sizing": text_of(SIZINGS, rule.sizing), "gross_limit": rule.gross_limit}
