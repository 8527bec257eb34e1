"""Apply runs and enrolments as plain JSON objects, and the exit code of a run that ended."""

from __future__ import annotations

from typing import Final

from qmtl_sdk._pb.qmtl.apply.v1 import (
    Activation,
    ApplyRecord,
    ApplyRun,
    Enrolment,
    ExecutorPosition,
    Participant,
    ParticipantKind,
    RunPhase,
)
from qmtl_sdk.cli.documents import MODES, Document, moment, text_of
from qmtl_sdk.cli.exits import ExitCode

RUN_PHASES: Final = {phase: phase.name.lower() for phase in RunPhase if phase.name is not None}
KINDS: Final = {kind: kind.name.lower() for kind in ParticipantKind if kind.name is not None}


def exit_code_of_run(run: ApplyRun) -> ExitCode:
    """Return the exit code of a run that is over."""
    return ExitCode.OK if run.phase == RunPhase.COMPLETED else ExitCode.NOT_VALID


def run_document(run: ApplyRun) -> Document:
    """Return an apply run."""
    return {
        "world": run.world,
        "run_id": run.run_id,
        "phase": text_of(RUN_PHASES, run.phase),
        "plan": [_activation(each) for each in run.plan],
        "prior_state_hash": run.prior_state_hash,
        "planned_state_hash": run.planned_state_hash,
        "epoch": run.epoch,
        "awaited": [_participant(each) for each in run.awaited],
        "acknowledged": [_participant(each) for each in run.acknowledged],
        "unopened": list(run.unopened),
        "clears_hold": run.clears_hold,
        "reason": run.reason,
        "deadline": moment(run.deadline),
        "create_time": moment(run.create_time),
        "end_time": moment(run.end_time),
        "timeline": [_record(each) for each in run.timeline],
        "holds": list(run.holds),
        "revision": run.revision,
    }


def enrolment_document(enrolment: Enrolment) -> Document:
    """Return an executor's enrolment."""
    return {
        "world": enrolment.world,
        "executor": enrolment.executor,
        "mode": text_of(MODES, enrolment.mode),
        "mark": enrolment.mark,
        "fenced_epoch": enrolment.fenced_epoch,
        "is_open": enrolment.is_open,
        "incarnation": enrolment.incarnation,
        "renew_time": moment(enrolment.renew_time),
        "positions": [_position(each) for each in enrolment.positions],
        "create_time": moment(enrolment.create_time),
    }


def _activation(activation: Activation) -> Document:
    return {
        "strategy_id": activation.strategy_id,
        "strategy_version": activation.strategy_version,
        "active": activation.active,
        "weight": activation.weight,
        "side": activation.side,
        "mode": text_of(MODES, activation.mode),
        "dataset_fingerprint": activation.dataset_fingerprint,
        "epoch": activation.epoch,
        "sequence": activation.sequence,
        "executor": activation.executor,
    }


def _participant(participant: Participant) -> Document:
    return {
        "kind": text_of(KINDS, participant.kind),
        "name": participant.name,
        "incarnation": participant.incarnation,
        "lease_expire_time": moment(participant.lease_expire_time),
        "waits_for": list(participant.waits_for),
    }


def _record(record: ApplyRecord) -> Document:
    return {
        "event": record.event,
        "actor": record.actor,
        "reason": record.reason,
        "epoch": record.epoch,
        "sequence": record.sequence,
        "create_time": moment(record.create_time),
    }


def _position(position: ExecutorPosition) -> Document:
    return {"strategy_id": position.strategy_id, "symbol": position.symbol, "quantity": position.quantity}
