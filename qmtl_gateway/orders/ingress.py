"""What may pass into the order stream. Pure; an intent passes as it was stamped, or not at all.

1. Form, INVALID_FIELD or TOO_LARGE: the number of intents; the stamps, which all of a request share; of each intent
   its size, symbol, target, and that its id is that of its content. The gate is not asked yet.
2. The world's gate, in this order: GATE_CLOSED, EPOCH_MISMATCH, ACTIVATION_MISMATCH, MODE_WITHOUT_ORDERS,
   LIVE_CONSENT_MISSING.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason, invalid_field, too_large, within
from qmtl_foundation.execution_domain import ORDER_MODES, EffectiveMode
from qmtl_foundation.identity import intent_id
from qmtl_foundation.requests import check_content_id, check_resource_name, check_strategy_id
from qmtl_gateway.orders.model import MAX_INTENT_BYTES, MAX_INTENTS, MAX_SYMBOL, SIDES, Intent
from qmtl_gateway.sessions.model import Activation, Gate

SHARED: Final = ("world", "strategy_id", "strategy_version", "epoch", "side", "mode", "executor")
PINNED: Final = ("strategy_version", "side", "mode", "executor")  # what an activation says of its strategy

_shared = attrgetter(*SHARED)


def check_count(count: int) -> None:
    """Raise INVALID_FIELD for a request of no intents, or of too many."""
    if not 1 <= count <= MAX_INTENTS:
        raise invalid_field("intents", f"has {count}; send 1 to {MAX_INTENTS:,} in a request")


def check_form(intents: Sequence[Intent]) -> None:
    """Raise INVALID_FIELD or TOO_LARGE for intents, at least one, that no gate would let pass."""
    first = intents[0]
    with within("intents[0]"):
        _check_stamps(first)
    stamps = _shared(first)
    places: dict[str, int] = {}
    for number, intent in enumerate(intents):
        at = f"intents[{number}]"
        if _shared(intent) != stamps:
            raise _unlike(at, intent, first)
        _check_wish(at, intent)
        other = places.setdefault(intent.intent_id, number)
        if other != number:
            raise invalid_field(f"{at}.intent_id", f"stands in intents[{other}] too; a wish is sent once in a request")


def check_gate(gate: Gate | None, intent: Intent, *, live_consent: bool) -> None:
    """Raise for an intent, of well-formed ones that share its stamps, that its world's gate does not let pass now."""
    if gate is None or not gate.is_open:
        raise _closed(intent.world, gate)
    if intent.epoch != gate.epoch:
        raise _other_epoch(intent, gate)
    activation = gate.activations.get(intent.strategy_id)
    if activation is None:
        raise _absent(intent)
    for name in PINNED:
        given, expected = getattr(intent, name), getattr(activation, name)
        if given != expected:
            raise _mismatch(intent, name, str(given), str(expected))
    _check_mode(intent, activation, live_consent=live_consent)


def _check_stamps(intent: Intent) -> None:
    check_resource_name("world", intent.world)
    check_strategy_id(intent.strategy_id)
    check_content_id("strategy_version", intent.strategy_version)
    if intent.epoch < 1:
        raise invalid_field("epoch", f"{intent.epoch} is none; state the epoch of the event that opened the gate")
    if intent.side not in SIDES:
        raise invalid_field("side", f"{intent.side[:80]!r} must be long, short or neutral, as in the activation set")
    if intent.mode is None:
        raise invalid_field("mode", "must be stated, as in the activation set: PAPER or LIVE")
    if intent.mode in ORDER_MODES:  # the set has no executor for the others
        check_resource_name("executor", intent.executor)


def _check_wish(at: str, intent: Intent) -> None:
    if len(intent.content) > MAX_INTENT_BYTES:
        raise too_large(at, len(intent.content), MAX_INTENT_BYTES)
    if not (0 < len(intent.symbol) <= MAX_SYMBOL and intent.symbol.isprintable()):
        raise invalid_field(
            f"{at}.symbol", f"{intent.symbol[:80]!r} must be 1 to {MAX_SYMBOL} printable characters, as in the preset"
        )
    if not -1.0 <= intent.target <= 1.0:  # so is NaN
        raise invalid_field(f"{at}.target", f"{intent.target!r} must be within [-1, 1], a fraction of capital")
    expected = intent_id(intent.world, intent.strategy_id, intent.bar_time, intent.symbol)
    if intent.intent_id != expected:
        description = f"{intent.intent_id[:80]!r} is not the id of its world, strategy, bar and symbol: {expected}"
        raise invalid_field(f"{at}.intent_id", description)


def _unlike(at: str, intent: Intent, first: Intent) -> QmtlError:
    name = next(each for each in SHARED if getattr(intent, each) != getattr(first, each))
    given, expected = getattr(intent, name), getattr(first, name)
    return invalid_field(
        f"{at}.{name}", f"{str(given)[:80]!r} is not {str(expected)!r}, as in intents[0]; send it apart"
    )


def _closed(world: str, gate: Gate | None) -> QmtlError:
    phase, run_id = ("unknown", "") if gate is None else (gate.phase.value, gate.run_id)
    holds = "" if gate is None else ", ".join(gate.holds)
    told = f"its last event is {phase}" if gate is not None else "nothing is known of it"
    return QmtlError(
        Reason.GATE_CLOSED,
        f"world {world!r} is closed for orders: {told}{f', held by {holds}' if holds else ''}; wait for its UNFREEZE",
        metadata={"world": world, "phase": phase, "run_id": run_id, "holds": holds},
    )


def _other_epoch(intent: Intent, gate: Gate) -> QmtlError:
    return QmtlError(
        Reason.EPOCH_MISMATCH,
        f"the intents are of epoch {intent.epoch}, world {intent.world!r} stands at {gate.epoch}; "
        "decide again by the set of that epoch",
        metadata={"world": intent.world, "given": str(intent.epoch), "expected": str(gate.epoch)},
    )


def _absent(intent: Intent) -> QmtlError:
    return QmtlError(
        Reason.ACTIVATION_MISMATCH,
        f"{intent.strategy_id} is not in the activation set of world {intent.world!r} at epoch {intent.epoch}",
        metadata=_difference(intent, "strategy_id", intent.strategy_id, ""),
    )


def _mismatch(intent: Intent, name: str, given: str, expected: str) -> QmtlError:
    return QmtlError(
        Reason.ACTIVATION_MISMATCH,
        f"{name} of {intent.strategy_id} is {given!r}, the activation set of world {intent.world!r} says "
        f"{expected!r} at epoch {intent.epoch}; stamp what it says",
        metadata=_difference(intent, name, given, expected),
    )


def _difference(intent: Intent, name: str, given: str, expected: str) -> dict[str, str]:
    at = {"world": intent.world, "strategy_id": intent.strategy_id}
    return {**at, "field": name, "given": given, "expected": expected}


def _check_mode(intent: Intent, activation: Activation, *, live_consent: bool) -> None:
    if activation.mode not in ORDER_MODES:
        raise QmtlError(
            Reason.MODE_WITHOUT_ORDERS,
            f"{intent.strategy_id} is in mode {activation.mode.value} in world {intent.world!r}, which has no orders",
            metadata={
                "world": intent.world,
                "strategy_id": intent.strategy_id,
                "mode": activation.mode.value,
            },
        )
    if activation.mode is EffectiveMode.LIVE and not live_consent:
        raise QmtlError(
            Reason.LIVE_CONSENT_MISSING,
            f"{intent.strategy_id} is live in world {intent.world!r}: its orders go to a venue; set live_consent",
            metadata={"world": intent.world, "strategy_id": intent.strategy_id},
        )
