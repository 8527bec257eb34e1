"""Activations, timeouts and gateways as the JSON that is stored of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import lru_cache

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import KEPT_SETS, Activation, OnDemote, OnFreeze, RunTerms
from qmtl_world.apply.place import Gateway, Timeouts
from qmtl_world.apply.records import Holding


def encode_activations(activations: Iterable[Activation]) -> str:
    """Return activations as JSON, by strategy."""
    return _encoded(tuple(activations))


@lru_cache(maxsize=KEPT_SETS)
def _encoded(activations: tuple[Activation, ...]) -> str:
    ordered = sorted(activations, key=lambda each: each.strategy_id)
    return json.dumps([{**asdict(each), "mode": each.mode.value} for each in ordered])


@lru_cache(maxsize=KEPT_SETS)
def decode_activations(text: str) -> tuple[Activation, ...]:
    """Return the activations of a stored text."""
    return tuple(Activation(**{**each, "mode": EffectiveMode(each["mode"])}) for each in json.loads(text))


def encode_timeouts(timeouts: Timeouts) -> str:
    """Return timeouts as JSON, in milliseconds."""
    phases = {"freeze": timeouts.freeze, "switch": timeouts.switch, "unfreeze": timeouts.unfreeze}
    phases["rollback"] = timeouts.rollback
    return json.dumps({name: each // timedelta(milliseconds=1) for name, each in phases.items()})


def decode_timeouts(text: str) -> Timeouts:
    """Return the timeouts of a stored text."""
    return Timeouts(**{name: timedelta(milliseconds=value) for name, value in json.loads(text).items()})


def encode_gateways(gateways: Iterable[Gateway]) -> str:
    """Return starts of gateways as JSON."""
    return json.dumps(sorted([each.name, each.incarnation] for each in gateways))


def decode_gateways(text: str) -> frozenset[Gateway]:
    """Return the starts of gateways of a stored text."""
    return frozenset(Gateway(*each) for each in json.loads(text))


def encode_terms(terms: RunTerms) -> str:
    """Return the terms of runs as JSON."""
    return json.dumps(asdict(terms))


def decode_terms(text: str | None) -> RunTerms:
    """Return the terms of a stored text, or those that hold when no policy has stated any."""
    if text is None:
        return RunTerms()
    stated = json.loads(text)
    return RunTerms(
        **{**stated, "on_demote": OnDemote(stated["on_demote"]), "on_freeze": OnFreeze(stated["on_freeze"])}
    )


def encode_holdings(holdings: Iterable[Holding]) -> str:
    """Return what an executor holds as JSON."""
    return json.dumps([asdict(each) for each in holdings])


def decode_holdings(text: str) -> tuple[Holding, ...]:
    """Return what an executor holds of a stored text."""
    return tuple(Holding(**each) for each in json.loads(text))


def encode_waits(waits_for: Mapping[str, Sequence[str]]) -> str:
    """Return whom a gateway waits for, by world, as stored."""
    return json.dumps({world: list(strategies) for world, strategies in waits_for.items()})


def decode_waits(text: str | None) -> tuple[str, ...]:
    """Return whom a gateway waits for in one world; nothing is stored where that is nobody."""
    return () if text is None else tuple(json.loads(text))
