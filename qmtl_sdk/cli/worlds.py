"""Making and changing worlds at the gateway: what the command line states becomes the world that is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Final, TypeVar

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_sdk._pb.qmtl.world.v1 import (
    CreateWorldRequest,
    DeleteWorldRequest,
    ExecutionModel,
    GetWorldRequest,
    ListWorldsRequest,
    ListWorldsResponse,
    SizingRule,
    UpdateWorldRequest,
    UploadPolicyRequest,
    World,
)
from qmtl_sdk.cli.documents import (
    FILLS,
    REBALANCES,
    SHARE_POLICIES,
    SIZINGS,
    Document,
    mode_of,
    number_of,
    world_document,
)
from qmtl_sdk.cli.session import CALL_SECONDS, Session
from qmtl_sdk.cli.world_options import DEFAULT_PRESET, WorldChange
from qmtl_sdk.client.gateway import Gateway, new_request_id
from qmtl_sdk.client.paging import PAGE, all_pages
from qmtl_sdk.client.presets import fetch_preset
from qmtl_sdk.data.preset import WorldDataPreset

INT32_MAX: Final = 2**31 - 1
UNDONE: Final = "its policy was refused"  # why a world is deleted that was just made

Number = TypeVar("Number", bound=IntEnum)
Stated = TypeVar("Stated")


def create(session: Session, name: str, change: WorldChange, policy: str | None, reason: str) -> Document:
    """Make a world, put the policy in force where there is one, and return the world as stored.

    When the policy is refused, the new world is deleted again: the command does all or nothing.
    """
    stated = change if change.preset is not None else replace(change, preset=DEFAULT_PRESET)
    world = _changed(World(name=name), stated, _annualising(session, stated))
    request = CreateWorldRequest(request_id=new_request_id(), world=world, reason=reason)

    async def work(gateway: Gateway) -> World:
        made = _stored((await gateway.call(lambda: gateway.worlds.create_world(request, timeout=CALL_SECONDS))).world)
        if policy is None:
            return made
        try:
            await _put_in_force(gateway, name, policy, reason)
        except QmtlError as error:
            await _undo(gateway, name, error)
            raise
        return await _read(gateway, name)

    return world_document(session.ask(work))


def update(session: Session, name: str, change: WorldChange, reason: str) -> Document:
    """Change what is stated and return the world as stored."""
    bars_per_year = _annualising(session, change)

    async def work(gateway: Gateway) -> World:
        world = _changed(await _read(gateway, name), change, bars_per_year)
        request = UpdateWorldRequest(request_id=new_request_id(), world=world, reason=reason)
        return _stored((await gateway.call(lambda: gateway.worlds.update_world(request, timeout=CALL_SECONDS))).world)

    return world_document(session.ask(work))


def read(session: Session, name: str) -> World:
    """Return a world."""
    return session.ask(lambda gateway: _read(gateway, name))


def delete(session: Session, name: str, reason: str) -> None:
    """Delete a world as it stands now."""

    async def work(gateway: Gateway) -> None:
        await _delete(gateway, await _read(gateway, name), reason)

    session.ask(work)


def list_all(session: Session) -> list[Document]:
    """Return every world, by name."""

    async def work(gateway: Gateway) -> list[ListWorldsResponse]:
        def send(token: str) -> Awaitable[ListWorldsResponse]:
            request = ListWorldsRequest(page_size=PAGE, page_token=token)
            return gateway.worlds.list_worlds(request, timeout=CALL_SECONDS)

        return await all_pages(gateway, send)

    return [world_document(world) for page in session.ask(work) for world in page.worlds]


async def _read(gateway: Gateway, name: str) -> World:
    request = GetWorldRequest(world=name)
    return _stored((await gateway.call(lambda: gateway.worlds.get_world(request, timeout=CALL_SECONDS))).world)


async def _delete(gateway: Gateway, world: World, reason: str) -> None:
    request = DeleteWorldRequest(request_id=new_request_id(), world=world.name, etag=world.etag, reason=reason)
    await gateway.call(lambda: gateway.worlds.delete_world(request, timeout=CALL_SECONDS))


async def _undo(gateway: Gateway, name: str, cause: QmtlError) -> None:
    """Delete a world again, as it stands now; where that fails too, raise the cause with the world that remains."""
    try:
        await _delete(gateway, await _read(gateway, name), UNDONE)  # the policy may be in force, and its answer lost
    except QmtlError as error:
        raise QmtlError(
            cause.reason,
            f"{cause.message}; world {name!r} remains, deleting it failed too ({error.message}): "
            f"`qmtl world delete {name}`",
            metadata={**cause.metadata, "world": name},
            violations=cause.violations,
        ) from error


async def _put_in_force(gateway: Gateway, name: str, policy: str, reason: str) -> None:
    request = UploadPolicyRequest(request_id=new_request_id(), world=name, yaml=policy, activate=True, reason=reason)
    await gateway.call(lambda: gateway.worlds.upload_policy(request, timeout=CALL_SECONDS))


def _stored(world: World | None) -> World:
    if world is None:
        raise QmtlError(Reason.INTERNAL, "the gateway answered without a world")
    return world


def _annualising(session: Session, change: WorldChange) -> float | None:
    """Return the bars per year: as stated, else what the data of a stated preset says.

    Raises QmtlError PRESET_NOT_FOUND for a stated preset that nobody has registered.
    """
    name = change.preset
    if name is None:
        return change.bars_per_year
    preset = session.ask(lambda gateway: fetch_preset(gateway, name))
    return bars_per_year(preset) if change.bars_per_year is None else change.bars_per_year


def bars_per_year(preset: WorldDataPreset) -> float:
    """Return how many bars of a preset make a year: sessions of its calendar times bars of a session."""
    from qmtl_sdk.data.provider import resolve_provider
    from qmtl_sdk.settings import cache_dir

    return float(resolve_provider(preset, cache_dir()).read().report.bars_per_year)


def _changed(world: World, change: WorldChange, bars_per_year: float | None) -> World:
    model, rule = world.execution_model or ExecutionModel(), world.sizing_rule or SizingRule()
    ttl = change.decision_ttl
    if ttl is not None and not 0 < ttl <= INT32_MAX:  # betterproto2 would wrap it around silently
        raise invalid_field("decision_ttl", f"{ttl} must be at least 1 second")
    rebalance = _numbered(REBALANCES, change.rebalance, model.rebalance)
    drift = 0.0 if change.rebalance not in (None, "drift") and change.drift is None else change.drift
    return replace(
        world,
        data_preset=_or(change.preset, world.data_preset),
        description=_or(change.description, world.description),
        bars_per_year=_or(bars_per_year, world.bars_per_year),
        mode=world.mode if change.mode is None else mode_of(change.mode),
        allow_live=_or(change.allow_live, world.allow_live),
        execution_model=ExecutionModel(
            fill=_numbered(FILLS, change.fill, model.fill),
            slippage_bp=_or(change.slippage_bp, model.slippage_bp),
            fee_bp=_or(change.fee_bp, model.fee_bp),
            rebalance=rebalance,
            drift=_or(drift, model.drift),
            can_short=_or(change.can_short, model.can_short),
            initial_cash=_or(change.initial_cash, model.initial_cash),
            cash_rate=_or(change.cash_rate, model.cash_rate),
        ),
        sizing_rule=SizingRule(
            sizing=_numbered(SIZINGS, change.sizing, rule.sizing),
            gross_limit=_or(change.gross_limit, rule.gross_limit),
        ),
        share_policy=_numbered(SHARE_POLICIES, change.share_policy, world.share_policy),
        decision_ttl_s=_or(ttl, world.decision_ttl_s),
    )


def _or(stated: Stated | None, present: Stated) -> Stated:
    return present if stated is None else stated


def _numbered(texts: Mapping[Number, str], stated: str | None, present: Number) -> Number:
    return present if stated is None else number_of(texts, stated)
