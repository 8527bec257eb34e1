"""What the apply protocol refuses, each with its reason; a refusal changes nothing."""

from __future__ import annotations

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.execution_domain import ORDER_MODES, EffectiveMode
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import ASTRAY, Phase, Place, Start


def refuse_while_running(place: Place) -> None:
    """Raise RUN_IN_PROGRESS while a run is not over (S3)."""
    run = place.running
    if run is not None:
        raise QmtlError(
            Reason.RUN_IN_PROGRESS,
            f"world {place.world!r} is in apply run {run.run_id!r} ({run.phase.value}); wait for its end",
            metadata={"world": place.world, "run_id": run.run_id, "phase": run.phase.value},
        )


def refuse_start(place: Place, event: Start, plan: tuple[Activation, ...]) -> None:
    """Raise for a start that may not be: a run goes on, a hold stands, the set has moved, or an order has no way."""
    refuse_while_running(place)
    if event.clears and event.plan is not None:
        raise invalid_field("plan", "a resume keeps the set that stands; leave the plan out, and change it afterwards")
    if event.clears and event.clears not in place.holds:
        held = ", ".join(sorted(place.holds)) or "nothing"
        message = f"world {place.world!r} is not held by {event.clears!r}, but by {held}"
        raise QmtlError(Reason.HOLD_NOT_FOUND, message, metadata={"world": place.world, "hold": event.clears})
    if ASTRAY in place.holds:
        message = f"the streams of world {place.world!r} hold what its database does not know; reseed it instead"
        raise QmtlError(Reason.WORLD_HELD, message, metadata={"world": place.world, "holds": ASTRAY})
    if place.holds and not event.clears:
        held = ", ".join(sorted(place.holds))
        message = f"world {place.world!r} is held by {held}; resume it first"
        raise QmtlError(Reason.WORLD_HELD, message, metadata={"world": place.world, "holds": held})
    if event.base and event.base != place.state_hash:
        message = f"world {place.world!r} has changed since the plan was made; make it anew"
        metadata = {"world": place.world, "expected": place.state_hash, "given": event.base}
        raise QmtlError(Reason.STALE_ETAG, message, metadata=metadata)
    _refuse_modes(place, plan)


def refuse_reseed(place: Place) -> None:
    """Raise while a run is not over, and for a world whose streams agree with its database."""
    refuse_while_running(place)
    if ASTRAY not in place.holds:
        message = f"the streams of world {place.world!r} agree with its database; there is nothing to reseed"
        raise QmtlError(Reason.HOLD_NOT_FOUND, message, metadata={"world": place.world, "hold": ASTRAY})


def refuse_deregistration(place: Place, executor: str) -> None:
    """Raise while a run is not over, and for an executor that takes orders of a world that is open."""
    refuse_while_running(place)
    served = [each for each in place.activations if each.mode in ORDER_MODES and each.executor == executor]
    if place.is_open and served:
        strategy_id = served[0].strategy_id
        message = (
            f"executor {executor!r} takes the orders of {strategy_id}; "
            f"apply a set that does not name it to world {place.world!r}, or freeze the world, first"
        )
        metadata = {"world": place.world, "strategy_id": strategy_id, "executor": executor}
        raise QmtlError(Reason.NO_EXECUTOR, message, metadata=metadata)


def _refuse_modes(place: Place, plan: tuple[Activation, ...]) -> None:
    for each in plan:
        if each.mode is EffectiveMode.LIVE and not place.allow_live:
            message = f"{each.strategy_id} cannot be live: world {place.world!r} does not allow it"
            metadata = {"world": place.world, "strategy_id": each.strategy_id}
            raise QmtlError(Reason.LIVE_NOT_ALLOWED, message, metadata=metadata)
        if each.mode in ORDER_MODES and each.executor not in place.executors:
            named = f"executor {each.executor!r} is not enrolled" if each.executor else "no executor is named"
            message = f"{named} for the orders of {each.strategy_id} in world {place.world!r}; enrol and name one"
            metadata = {"world": place.world, "strategy_id": each.strategy_id, "executor": each.executor}
            raise QmtlError(Reason.NO_EXECUTOR, message, metadata=metadata)


def refuse_rollback(place: Place, run_id: str, *phases: Phase) -> None:
    """Raise RUN_NOT_REVERSIBLE unless the named run is the world's and in one of these phases."""
    run = place.run
    if run is None or run.run_id != run_id or run.phase not in phases:
        state = "no run" if run is None else f"run {run.run_id!r} in {run.phase.value}"
        message = f"run {run_id!r} of world {place.world!r} cannot go back now: there is {state}"
        raise QmtlError(Reason.RUN_NOT_REVERSIBLE, message, metadata={"world": place.world, "run_id": run_id})


def foreign_acknowledgement(field: str, given: object, wanted: object) -> QmtlError:
    """Return the refusal of an acknowledgement of something that is not awaited; it changes nothing."""
    message = f"acknowledgement: {field} is {given}, awaited is {wanted}"
    metadata = {"field": field, "given": str(given), "expected": str(wanted)}
    return QmtlError(Reason.ACKNOWLEDGEMENT_MISMATCH, message, metadata=metadata)
