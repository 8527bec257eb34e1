"""A world, its policies and bindings, and the decision. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.execution_domain import (
    DECISION_TTL_SECONDS,
    WORLD_MODES,
    DecisionTerms,
    EffectiveMode,
    derive_context,
)
from qmtl_foundation.execution_model import ExecutionModel, SizingRule
from qmtl_foundation.identity import content_id
from qmtl_foundation.requests import check_resource_name

MAX_DESCRIPTION: Final = 200
MIN_BARS_PER_YEAR: Final = 1.0
MAX_BARS_PER_YEAR: Final = 10_000_000.0
MAX_DECISION_TTL_SECONDS: Final = 86_400
ETAG_CONTEXT: Final = "qmtl 2026-11 etag v1"
ETAG_DIGITS: Final = 16


class SharePolicy(StrEnum):
    """Say whether feature artifacts may leave the world; promotion needs it stated."""

    UNSTATED = "unstated"
    WORLD = "world"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """Hold what an owner states of a world. ``bars_per_year`` annualises; ``decision_ttl_s`` is in seconds."""

    name: str
    data_preset: str
    bars_per_year: float
    description: str = ""
    mode: EffectiveMode = EffectiveMode.COMPUTE_ONLY
    allow_live: bool = False
    execution_model: ExecutionModel = field(default_factory=ExecutionModel)
    sizing_rule: SizingRule = field(default_factory=SizingRule)
    share_policy: SharePolicy = SharePolicy.UNSTATED
    decision_ttl_s: int = DECISION_TTL_SECONDS

    def __post_init__(self) -> None:
        """Check every field; raise QmtlError (INVALID_FIELD) naming it and the mend."""
        check_resource_name("world.name", self.name)
        check_resource_name("world.data_preset", self.data_preset)
        if len(self.description) > MAX_DESCRIPTION or not self.description.isprintable():
            raise invalid_field("world.description", f"must be one line of at most {MAX_DESCRIPTION} characters")
        if not MIN_BARS_PER_YEAR <= self.bars_per_year <= MAX_BARS_PER_YEAR:
            raise invalid_field(
                "world.bars_per_year",
                f"{self.bars_per_year} must be within [{MIN_BARS_PER_YEAR:.0f}, {MAX_BARS_PER_YEAR:.0f}], "
                "such as 252 for daily bars of NYSE",
            )
        if self.mode not in WORLD_MODES:
            raise invalid_field("world.mode", f"{self.mode.value} must be one of {', '.join(WORLD_MODES)}")
        if not 1 <= self.decision_ttl_s <= MAX_DECISION_TTL_SECONDS:
            raise invalid_field(
                "world.decision_ttl_s", f"{self.decision_ttl_s} must be within [1, {MAX_DECISION_TTL_SECONDS}] seconds"
            )


@dataclass(frozen=True, slots=True)
class World:
    """Hold a world as stored. ``revision`` rises with each change; ``active_policy_version`` 0 means none."""

    spec: WorldSpec
    active_policy_version: int
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Return what a change must name."""
        return etag_of(self.spec.name, self.revision)


def stated(spec: WorldSpec) -> dict[str, object]:
    """Return what an owner states of a world, by the dotted name of each field."""
    return {
        "data_preset": spec.data_preset,
        "bars_per_year": spec.bars_per_year,
        "mode": spec.mode.value,
        "allow_live": spec.allow_live,
        "share_policy": spec.share_policy.value,
        "decision_ttl_s": spec.decision_ttl_s,
        **{f"execution_model.{name}": value for name, value in spec.execution_model.canonical().items()},
        **{f"sizing_rule.{name}": value for name, value in spec.sizing_rule.canonical().items()},
        "description": spec.description,
    }


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """Hold one uploaded policy; ``yaml`` is the text as uploaded."""

    world: str
    version: int
    yaml: str
    content_id: str
    active: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class BoundDataset:
    """Say what data a strategy version was bound to; moments are None and texts empty when not known."""

    preset: str
    as_of: str
    fingerprint: str
    newest_as_of: str
    end_time: datetime | None
    coverage: float
    gaps: int


@dataclass(frozen=True, slots=True)
class Binding:
    """Hold a version of a strategy that a submission bound to a world, and the data and mode it was bound to."""

    world: str
    strategy_id: str
    strategy_version: str
    submission_id: str
    dataset: BoundDataset
    effective_mode: EffectiveMode = EffectiveMode.COMPUTE_ONLY


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold what the world lets one strategy do until ``expire_time``."""

    world: str
    strategy_id: str
    effective_mode: EffectiveMode
    reason: str
    policy_version: int
    as_of: str
    expire_time: datetime
    allow_live: bool

    @property
    def etag(self) -> str:
        """Return what changes when the decision changes; not with its expiry."""
        stated = (self.world, self.strategy_id, self.effective_mode.value, self.policy_version, self.as_of)
        return etag_of(*stated, self.allow_live)


class InForce(Protocol):
    """Name the version of a strategy that may trade, and its mode there."""

    @property
    def strategy_version(self) -> str:
        """Return the version, a content id."""

    @property
    def mode(self) -> EffectiveMode:
        """Return the mode that its switch gave."""


def decide(world: World, binding: Binding, in_force: InForce | None, now: datetime) -> Decision:
    """Decide what a bound strategy version may do.

    ``in_force`` is the version of its strategy that may trade, None when none may. Only the very version that stands
    there may do what the world is set to; a new one is validated first, and without a policy nothing is. Venue orders
    need the owner's ``allow_live`` and a version that an apply run has put live.
    """
    spec = world.spec
    is_live = False
    if world.active_policy_version == 0:
        mode, reason = EffectiveMode.COMPUTE_ONLY, "the world has no active policy"
    elif in_force is None:
        mode = EffectiveMode.VALIDATE
        reason = "not in force: it may be evaluated, and traded once a round has activated it and is announced"
    elif in_force.strategy_version != binding.strategy_version:
        mode, reason = (
            EffectiveMode.VALIDATE,
            "another version is in force, and stays until a switch",
        )
    else:
        mode, reason = spec.mode, f"active in the world, which is set to {spec.mode.value}"
        is_live = in_force.mode is EffectiveMode.LIVE
    return Decision(
        world=spec.name,
        strategy_id=binding.strategy_id,
        effective_mode=mode,
        reason=reason,
        policy_version=world.active_policy_version,
        as_of=binding.dataset.as_of,
        expire_time=now + timedelta(seconds=spec.decision_ttl_s),
        allow_live=spec.allow_live and is_live,
    )


def bound_mode(decision: Decision, binding: Binding, hint: str, now: datetime) -> EffectiveMode:
    """Return the mode under which a binding computes: the decision through the one mapping, as gateways derive it."""
    terms = DecisionTerms(decision.effective_mode.value, decision.allow_live, decision.expire_time)
    dataset = binding.dataset
    context = derive_context(terms, hint=hint, as_of=dataset.as_of, dataset_fingerprint=dataset.fingerprint, now=now)
    return context.mode


def switched_mode(spec: WorldSpec) -> EffectiveMode:
    """Return the mode that a switch may give: live only where the owner allows it."""
    return EffectiveMode.COMPUTE_ONLY if spec.mode is EffectiveMode.LIVE and not spec.allow_live else spec.mode


def etag_of(*stated: str | int | bool) -> str:
    """Return a short text that changes with what is stated."""
    return content_id(ETAG_CONTEXT, list(stated)).removeprefix("blake3:")[:ETAG_DIGITS]


def check_etag(given: str, current: str) -> None:
    """Raise STALE_ETAG when a change was made from another state than the present one."""
    if given != current:
        raise QmtlError(
            Reason.STALE_ETAG,
            "the world has changed since it was read; read it again and repeat the change",
            metadata={"expected": current, "given": given[:80]},
        )
