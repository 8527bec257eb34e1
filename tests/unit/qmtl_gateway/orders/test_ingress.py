"""What passes a gate, and what does not: each refusal by its reason, what it names, and what a program reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_gateway.orders import ingress
from qmtl_gateway.orders.messages import from_intents
from qmtl_gateway.orders.model import MAX_INTENT_BYTES, MAX_INTENTS, Intent
from qmtl_gateway.sessions.model import Gate, Phase
from tests.support.intents import BAR, EPOCH, STRATEGY, VERSION, WORLD, order_gate, order_intent, order_intents


def refused(act: Callable[[], object]) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        act()
    return caught.value


def form(messages: Sequence[OrderIntent]) -> None:
    ingress.check_form(from_intents(messages))


def wish(**changes: Any) -> Intent:
    return from_intents([order_intent(**changes)])[0]


def at_gate(gate: Gate | None, *, live_consent: bool = False, **changes: Any) -> None:
    ingress.check_gate(gate, wish(**changes), live_consent=live_consent)


def test_what_an_open_gate_says_passes_as_it_was_sent() -> None:
    messages = [*order_intents(3), order_intent("S0", bar=1, target=-1.0), order_intent("S1", bar=1, target=1.0)]
    intents = from_intents(messages)
    ingress.check_form(intents)
    for intent, message in zip(intents, messages, strict=True):
        ingress.check_gate(order_gate(), intent, live_consent=False)
        assert intent.content == message.SerializeToString()


@pytest.mark.parametrize("count", [0, MAX_INTENTS + 1])
def test_a_request_has_at_least_one_intent_and_not_too_many(count: int) -> None:
    error = refused(lambda: ingress.check_count(count))
    assert (error.reason, error.metadata) == (Reason.INVALID_FIELD, {"field": "intents"})
    assert error.message == f"intents: has {count}; send 1 to 1,000 in a request"
    ingress.check_count(1)
    ingress.check_count(MAX_INTENTS)


STAMPS = [
    ("world", {"world": "No World"}),
    ("world", {"world": "equity.mark"}),
    ("strategy_id", {"strategy_id": "Trend"}),
    ("strategy_version", {"strategy_version": "blake3:abc"}),
    ("epoch", {"epoch": 0}),
    ("epoch", {"epoch": -1}),
    ("side", {"side": "both"}),
    ("side", {"side": ""}),
    ("mode", {"mode": execution_pb2.EFFECTIVE_MODE_UNSPECIFIED}),
    ("mode", {"mode": 99}),
    ("executor", {"executor": "paper 1"}),
    ("executor", {"executor": ""}),
]
WISHES = [
    ("symbol", {"symbol": ""}),
    ("symbol", {"symbol": "A" * 65}),
    ("symbol", {"symbol": "A\n"}),
    ("target", {"target": float("nan")}),
    ("target", {"target": float("inf")}),
    ("target", {"target": -float("inf")}),
    ("target", {"target": 1.0000001}),
    ("target", {"target": -1.0000001}),
    ("intent_id", {"intent_id": ""}),
    ("intent_id", {"intent_id": order_intent("MSFT").intent_id}),
]


@pytest.mark.parametrize(("field", "changes"), STAMPS + WISHES)
def test_a_malformed_intent_is_refused_by_the_name_of_its_field(field: str, changes: dict[str, Any]) -> None:
    error = refused(lambda: form([order_intent(**changes)]))
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, f"intents[0].{field}")
    assert [each.field for each in error.violations] == [f"intents[0].{field}"]


@pytest.mark.parametrize(("field", "changes"), WISHES)
def test_every_intent_of_a_request_is_looked_at(field: str, changes: dict[str, Any]) -> None:
    error = refused(lambda: form([*order_intents(2), order_intent(**changes)]))
    assert error.metadata["field"] == f"intents[2].{field}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("world", "macro"),
        ("strategy_id", "bob/Carry"),
        ("strategy_version", "blake3:" + "cd" * 32),
        ("epoch", EPOCH + 1),
        ("side", "short"),
        ("mode", execution_pb2.EFFECTIVE_MODE_LIVE),
        ("executor", "paper-2"),
    ],
)
def test_intents_of_one_request_share_their_stamps(name: str, value: Any) -> None:
    error = refused(lambda: form([order_intent("A"), order_intent("B", **{name: value})]))
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, f"intents[1].{name}")


@pytest.mark.parametrize("moved", ["bar", "symbol", "strategy_id", "world"])
def test_an_id_that_is_not_of_its_content_is_refused_with_the_one_that_is(moved: str) -> None:
    changes: dict[str, Any] = {"bar": 1} if moved == "bar" else {moved: "a/B" if moved == "strategy_id" else "other"}
    error = refused(lambda: form([order_intent(**changes, intent_id=order_intent().intent_id)]))
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, "intents[0].intent_id")
    assert order_intent(**changes).intent_id in error.message


def test_target_and_epoch_are_not_part_of_an_id() -> None:
    form([order_intent(target=0.5, epoch=EPOCH + 3, intent_id=order_intent().intent_id)])


def test_one_wish_stands_once_in_a_request() -> None:
    error = refused(lambda: form([order_intent("A"), order_intent("B"), order_intent("A", target=0.5)]))
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, "intents[2].intent_id")
    assert "intents[0]" in error.message


def test_an_intent_has_a_bound() -> None:
    message = order_intent()
    unknown = b"\xfa\x3f" + bytes([0x80 | (MAX_INTENT_BYTES & 0x7F), MAX_INTENT_BYTES >> 7]) + b"x" * MAX_INTENT_BYTES
    message.MergeFromString(unknown)  # field 1023, of a later release
    error = refused(lambda: form([message]))
    assert (error.reason, error.metadata["field"]) == (Reason.TOO_LARGE, "intents[0]")


@pytest.mark.parametrize(
    "stamp", [None, Timestamp(seconds=10**12), Timestamp(seconds=1, nanos=-1), Timestamp(seconds=1, nanos=1)]
)
def test_a_bar_has_a_time_that_its_id_can_say(stamp: Timestamp | None) -> None:
    message = order_intent()
    message.ClearField("bar_time")
    if stamp is not None:
        message.bar_time.CopyFrom(stamp)
    error = refused(lambda: form([order_intent("B"), message]))
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, "intents[1].bar_time")


def test_a_bar_of_a_microsecond_passes() -> None:
    form([order_intent(bar_time=datetime(2026, 1, 5, 21, 0, 0, 1, tzinfo=UTC))])
    assert wish().bar_time == BAR


@pytest.mark.parametrize(
    ("gate", "metadata"),
    [
        (None, {"phase": "unknown", "run_id": "", "holds": ""}),
        (order_gate(Phase.FREEZE), {"phase": "freeze", "run_id": "run-7", "holds": ""}),
        (order_gate(Phase.SWITCH), {"phase": "switch", "run_id": "run-7", "holds": ""}),
        (
            order_gate(Phase.FREEZE, holds=("operator", "switch_failed")),
            {"phase": "freeze", "run_id": "run-7", "holds": "operator, switch_failed"},
        ),
        (order_gate(holds=("operator",)), {"phase": "unfreeze", "run_id": "run-7", "holds": "operator"}),
    ],
)
def test_a_gate_that_is_not_open_says_why(gate: Gate | None, metadata: dict[str, str]) -> None:
    # Closed comes first: nothing else of the intent is compared with a set that may be about to change.
    error = refused(lambda: at_gate(gate, epoch=1, side="short"))
    assert (error.reason, error.metadata) == (Reason.GATE_CLOSED, {"world": WORLD, **metadata})
    assert WORLD in error.message


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_another_epoch_is_refused_and_never_restamped(epoch: int) -> None:
    error = refused(lambda: at_gate(order_gate(), epoch=epoch, side="short"))
    assert error.reason is Reason.EPOCH_MISMATCH
    assert error.metadata == {"world": WORLD, "given": str(epoch), "expected": str(EPOCH)}


@pytest.mark.parametrize(
    ("changes", "field", "given", "expected"),
    [
        ({"strategy_id": "bob/Carry"}, "strategy_id", "bob/Carry", ""),
        ({"strategy_version": "blake3:" + "cd" * 32}, "strategy_version", "blake3:" + "cd" * 32, VERSION),
        ({"side": "short"}, "side", "short", "long"),
        ({"mode": execution_pb2.EFFECTIVE_MODE_LIVE}, "mode", "live", "paper"),
        ({"executor": "paper-2"}, "executor", "paper-2", "paper-1"),
    ],
)
def test_stamps_that_are_not_those_of_the_set_are_refused(
    changes: dict[str, Any], field: str, given: str, expected: str
) -> None:
    error = refused(lambda: at_gate(order_gate(), live_consent=True, **changes))
    assert error.reason is Reason.ACTIVATION_MISMATCH
    strategy = changes.get("strategy_id", STRATEGY)
    assert error.metadata == {
        "world": WORLD,
        "strategy_id": strategy,
        "field": field,
        "given": given,
        "expected": expected,
    }


@pytest.mark.parametrize("mode", [EffectiveMode.VALIDATE, EffectiveMode.COMPUTE_ONLY, EffectiveMode.SHADOW])
def test_a_mode_without_orders_lets_none_pass(mode: EffectiveMode) -> None:
    number = execution_pb2.EffectiveMode.Value(f"EFFECTIVE_MODE_{mode.name}")
    message = order_intent(mode=number, executor="")
    form([message])
    error = refused(lambda: at_gate(order_gate(mode=mode, executor=""), mode=number, executor=""))
    assert error.reason is Reason.MODE_WITHOUT_ORDERS
    assert error.metadata == {"world": WORLD, "strategy_id": STRATEGY, "mode": mode.value}


def test_live_orders_need_the_callers_consent() -> None:
    gate, live = order_gate(mode=EffectiveMode.LIVE), execution_pb2.EFFECTIVE_MODE_LIVE
    error = refused(lambda: at_gate(gate, mode=live))
    assert error.reason is Reason.LIVE_CONSENT_MISSING
    assert error.metadata == {"world": WORLD, "strategy_id": STRATEGY}
    at_gate(gate, mode=live, live_consent=True)


def test_consent_makes_no_paper_order_live() -> None:
    error = refused(lambda: at_gate(order_gate(), mode=execution_pb2.EFFECTIVE_MODE_LIVE, live_consent=True))
    assert error.reason is Reason.ACTIVATION_MISMATCH
