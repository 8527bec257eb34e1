"""Reads facts out of rows as JSON: the same decoder for a table as it stands and for a change of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.faults.history.facts import (
    Acknowledgement,
    Activation,
    Enrolment,
    ExecutorPlace,
    Fill,
    JournalOrder,
    Lease,
    Line,
    PaperAccount,
    PaperOrder,
    Record,
    Run,
    Told,
    TurnedAway,
    WorldPlace,
)

Json = Mapping[str, Any]


def to_world_place(row: Json) -> WorldPlace:
    """Return a world's place."""
    return WorldPlace(
        epoch=row["epoch"],
        sequence=row["sequence"],
        mark=row["mark"],
        is_open=row["is_open"],
        holds=tuple(row["holds"]),
        activations=tuple(_to_activation(each) for each in row["activations"]),
    )


def to_run(row: Json) -> Run:
    """Return an apply run."""
    return Run(
        run_id=row["run_id"],
        request_hash=row["request_hash"],
        phase=row["phase"],
        epoch=row["epoch"],
        timeouts_ms=sum(row["timeouts"].values()),
        create_time=moment(row["create_time"]),
        end_time=None if row["end_time"] is None else moment(row["end_time"]),
    )


def to_acknowledgement(row: Json) -> Acknowledgement:
    """Return an acknowledgement."""
    return Acknowledgement(
        id=row["id"],
        kind=row["kind"],
        participant=row["participant"],
        incarnation=row["incarnation"],
        epoch=row["epoch"],
        run_id=row["run_id"],
        phase=row["phase"],
        sequence=row["sequence"],
        mark=row["mark"],
        create_time=moment(row["create_time"]),
    )


def to_record(row: Json) -> Record:
    """Return an entry of the audit timeline."""
    run_id, at = row["run_id"] or "", moment(row["create_time"])
    return Record(row["number"], run_id, row["event"], row["epoch"], row["sequence"], at)


def to_lease(row: Json) -> Lease:
    """Return a participant's lease."""
    return Lease(row["kind"], row["name"], row["incarnation"], moment(row["expire_time"]))


def to_enrolment(row: Json) -> Enrolment:
    """Return an enrolment."""
    return Enrolment(row["executor"], row["mode"], row["mark"])


def to_told(row: Json) -> Told:
    """Return a row of the outbox."""
    return Told(row["id"], row["event_id"], row["kind"], row["number"], row["position"])


def to_executor_place(row: Json) -> ExecutorPlace:
    """Return an executor's place."""
    return ExecutorPlace(
        executor=row["executor"],
        enrolment=row["enrolment"],
        position=row["position"],
        mark=row["mark"],
        fence=row["fence"],
        is_open=row["is_open"],
        unsure=row["unsure"],
    )


def to_journal_order(row: Json) -> JournalOrder:
    """Return an order of a journal."""
    return JournalOrder(
        executor=row["executor"],
        order_id=row["order_id"],
        strategy_id=row["strategy_id"],
        symbol=row["symbol"],
        weight=float(row["weight"]),
        bar_time=moment(row["bar_time"]),
        epoch=row["epoch"],
        position=row["position"],
        enrolment=row["enrolment"],
        state=row["state"],
    )


def to_fill(row: Json) -> Fill:
    """Return a fill."""
    numbers = (float(row[name]) for name in ("quantity", "price", "fee"))
    return Fill(row["executor"], row["order_id"], row["fill_id"], *numbers)


def to_turned_away(row: Json) -> TurnedAway:
    """Return an intent that was turned away."""
    return TurnedAway(
        executor=row["executor"],
        intent_id=row["intent_id"],
        epoch=row["epoch"],
        outcome=row["outcome"],
        position=row["position"],
        reason=row["reason"],
    )


def to_line(row: Json) -> Line:
    """Return what a strategy holds of a symbol."""
    return Line(row["executor"], row["strategy_id"], row["symbol"], float(row["quantity"]))


def to_paper_order(row: Json) -> PaperOrder:
    """Return an order of the paper venue."""
    return PaperOrder(
        executor=row["executor"],
        order_id=row["order_id"],
        strategy_id=row["strategy_id"],
        symbol=row["symbol"],
        state=row["state"],
        shares=float(row["shares"]),
        price=float(row["price"]),
        fee=float(row["fee"]),
    )


def to_paper_account(row: Json) -> PaperAccount:
    """Return an account of the paper venue."""
    return PaperAccount(row["executor"], json.loads(row["shares"]), row["is_ruined"])


def moment(text: str) -> datetime:
    """Return a time as JSON of the database has it."""
    return datetime.fromisoformat(text)


def _to_activation(row: Json) -> Activation:
    return Activation(
        strategy_id=row["strategy_id"],
        version=row["strategy_version"],
        weight=float(row["weight"]),
        side=row["side"],
        mode=row["mode"],
        fingerprint=row["dataset_fingerprint"],
        executor=row["executor"],
    )
