"""Apply runs, holds and executors at the gateway: what the command line states becomes the request that is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from qmtl_foundation.errors import invalid_field
from qmtl_sdk._pb.qmtl.apply.v1 import (
    ApplyRun,
    DeregisterExecutorRequest,
    EnrolExecutorRequest,
    Enrolment,
    FreezeWorldRequest,
    GetApplyRequest,
    ListAppliesRequest,
    ListAppliesResponse,
    ListExecutorsRequest,
    Plan,
    PlannedActivation,
    ReseedWorldRequest,
    ResumeWorldRequest,
    RollbackApplyRequest,
    StartApplyRequest,
)
from qmtl_sdk.cli.documents import Document, mode_of
from qmtl_sdk.cli.session import CALL_SECONDS, Session
from qmtl_sdk.client.gateway import Gateway, new_request_id, stated_run
from qmtl_sdk.client.paging import PAGE, all_pages

PLAN_FORM: Final = "activations: [{strategy_id: ana/Trend, weight: 0.5}]"
_STATED: Final = frozenset({"strategy_id", "weight", "strategy_version"})

Answer = TypeVar("Answer")


def parse_plan(stated: Sequence[str]) -> Plan | None:
    """Return the plan that ``strategy=weight`` texts state, None for none. Raises QmtlError INVALID_FIELD."""
    return Plan(activations=[_planned(text) for text in stated]) if stated else None


def read_plan_file(file: Path) -> Plan:
    """Return the plan of a YAML file, which may be an empty list: nothing trades. Raises QmtlError INVALID_FIELD."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise invalid_field("plan_file", f"{file} cannot be read ({error.strerror}); name a YAML file") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise invalid_field("plan_file", f"{file} is not YAML: {error}") from error
    if not isinstance(document, Mapping) or set(document) != {"activations"}:
        raise invalid_field("plan_file", f"{file} holds no plan; write such as {PLAN_FORM}")
    if not isinstance(document["activations"], list):
        raise invalid_field("plan_file", f"activations of {file} is no list; write such as {PLAN_FORM}")
    return Plan(activations=[_from_file(index, each) for index, each in enumerate(document["activations"])])


def start_request(world: str, run_id: str | None, plan: Plan | None, reason: str) -> StartApplyRequest:
    """Return the request of a run, under a new id where none is stated."""
    identity = new_request_id() if run_id is None else run_id
    return StartApplyRequest(world=world, run_id=identity, plan=plan, reason=reason)


def start(session: Session, request: StartApplyRequest) -> ApplyRun:
    """Begin a run and return it."""
    return stated_run(_ask(session, lambda gateway: gateway.applies.start_apply(request, timeout=CALL_SECONDS)).run)


def read(session: Session, world: str, run_id: str) -> ApplyRun:
    """Return a run with its timeline."""
    request = GetApplyRequest(world=world, run_id=run_id)
    return stated_run(_ask(session, lambda gateway: gateway.applies.get_apply(request, timeout=CALL_SECONDS)).run)


def list_all(session: Session, world: str) -> list[ApplyRun]:
    """Return a world's runs, the newest first."""

    async def work(gateway: Gateway) -> list[ListAppliesResponse]:
        def send(token: str) -> Awaitable[ListAppliesResponse]:
            request = ListAppliesRequest(world=world, page_size=PAGE, page_token=token)
            return gateway.applies.list_applies(request, timeout=CALL_SECONDS)

        return await all_pages(gateway, send)

    return [run for page in session.ask(work) for run in page.runs]


def follow(session: Session, world: str, run_id: str, take: Callable[[ApplyRun], None]) -> ApplyRun:
    """Give each state of a run to ``take``, on another thread, and return the last one."""

    async def work(gateway: Gateway) -> ApplyRun:
        last: ApplyRun | None = None
        async for last in gateway.watch_apply(world, run_id):
            take(last)
        return stated_run(last)

    return session.ask(work)


def roll_back(session: Session, world: str, run_id: str, reason: str) -> ApplyRun:
    """Undo a run and return it on its way back."""
    request = RollbackApplyRequest(world=world, run_id=run_id, reason=reason)
    return stated_run(_ask(session, lambda gateway: gateway.applies.rollback_apply(request, timeout=CALL_SECONDS)).run)


def freeze(session: Session, world: str, hold: str, reason: str) -> Document:
    """Freeze and hold a world; return the epoch of its Fence and the holds that stand."""
    request = FreezeWorldRequest(world=world, hold=hold, reason=reason, request_id=new_request_id())
    answer = _ask(session, lambda gateway: gateway.applies.freeze_world(request, timeout=CALL_SECONDS))
    return {"world": world, "epoch": answer.epoch, "holds": list(answer.holds)}


def resume(session: Session, world: str, hold: str, reason: str) -> ApplyRun:
    """End a hold and return the run that does it."""
    request = ResumeWorldRequest(world=world, run_id=new_request_id(), hold=hold, reason=reason)
    return stated_run(_ask(session, lambda gateway: gateway.applies.resume_world(request, timeout=CALL_SECONDS)).run)


def reseed(session: Session, world: str, reason: str) -> Document:
    """Take a world above everything seen; return where it stands."""
    request = ReseedWorldRequest(world=world, reason=reason, request_id=new_request_id())
    answer = _ask(session, lambda gateway: gateway.applies.reseed_world(request, timeout=CALL_SECONDS))
    return {"world": world, "epoch": answer.epoch, "sequence": answer.sequence, "holds": list(answer.holds)}


def list_executors(session: Session, world: str) -> list[Enrolment]:
    """Return a world's executors by name."""
    request = ListExecutorsRequest(world=world)
    return _ask(session, lambda gateway: gateway.applies.list_executors(request, timeout=CALL_SECONDS)).enrolments


def enrol(session: Session, world: str, executor: str, mode: str) -> Enrolment:
    """Let an executor take a world's orders in a mode. Raises QmtlError INVALID_FIELD for what is no mode."""
    request = EnrolExecutorRequest(world=world, executor=executor, mode=mode_of(mode))
    answer = _ask(session, lambda gateway: gateway.applies.enrol_executor(request, timeout=CALL_SECONDS))
    return answer.enrolment or Enrolment()


def deregister(session: Session, world: str, executor: str) -> Enrolment:
    """Let an executor leave a world; return its enrolment as it ended."""
    request = DeregisterExecutorRequest(world=world, executor=executor, request_id=new_request_id())
    answer = _ask(session, lambda gateway: gateway.applies.deregister_executor(request, timeout=CALL_SECONDS))
    return answer.enrolment or Enrolment()


def _ask(session: Session, send: Callable[[Gateway], Awaitable[Answer]]) -> Answer:
    return session.ask(lambda gateway: gateway.call(lambda: send(gateway)))


def _planned(text: str) -> PlannedActivation:
    strategy_id, equals, weight = text.rpartition("=")
    if not equals or not strategy_id:
        raise invalid_field("plan", f"{text!r} is not STRATEGY=WEIGHT; write such as ana/Trend=0.5")
    try:
        return PlannedActivation(strategy_id=strategy_id, weight=float(weight))
    except ValueError as error:
        raise invalid_field("plan", f"{weight!r} is no number; write such as {strategy_id}=0.5") from error


def _from_file(index: int, stated: Any) -> PlannedActivation:
    field = f"activations[{index}]"
    if not isinstance(stated, Mapping) or not {"strategy_id", "weight"} <= set(stated) <= _STATED:
        message = f"{field} states not just strategy_id, weight and perhaps strategy_version; write such as {PLAN_FORM}"
        raise invalid_field("plan_file", message)
    strategy_id, weight, version = stated["strategy_id"], stated["weight"], stated.get("strategy_version", "")
    for name, text in (("strategy_id", strategy_id), ("strategy_version", version)):
        if not isinstance(text, str):
            raise invalid_field("plan_file", f"{field}.{name} is {text!r}, no text")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise invalid_field("plan_file", f"{field}.weight is {weight!r}, no number; write such as 0.5")
    try:
        return PlannedActivation(strategy_id=strategy_id, weight=float(weight), strategy_version=version)
    except OverflowError as error:
        raise invalid_field("plan_file", f"{field}.weight is beyond any fraction; write such as 0.5") from error
