"""``qmtl world``: make, read, change and delete worlds, and read what they decided."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from qmtl_sdk.cli import policy
from qmtl_sdk.cli.session import CALL_SECONDS, Session, command

DEFAULT_PRESET: Final = "sample_us_equity_1d"

app = typer.Typer(help="Make worlds, and read what they decided.", rich_markup_mode=None)
app.add_typer(policy.app, name="policy")


class FillChoice(StrEnum):
    """Say when a target is filled."""

    NEXT_OPEN = "next_open"
    CLOSE = "close"


class RebalanceChoice(StrEnum):
    """Say when shares are brought back to target."""

    ON_CHANGE = "on_change"
    EVERY_BAR = "every_bar"
    DRIFT = "drift"


class SizingChoice(StrEnum):
    """Say which sides a signal may take."""

    LONG_ONLY = "long_only"
    LONG_SHORT = "long_short"


class ShareChoice(StrEnum):
    """Say whether feature artifacts may leave the world."""

    WORLD = "world"
    GLOBAL = "global"


Name = Annotated[str, typer.Argument(metavar="WORLD", help="Name of the world.")]
Description = Annotated[str | None, typer.Option("--description", help="One line for people.")]
Mode = Annotated[
    str | None, typer.Option("--mode", help="What active strategies may do: compute-only (default), paper or live.")
]
AllowLive = Annotated[
    bool | None, typer.Option("--allow-live/--no-allow-live", help="Whether venue orders are allowed.")
]
BarsPerYear = Annotated[
    float | None, typer.Option("--bars-per-year", help="Annualises every metric. Default: of the preset's calendar.")
]
FillAt = Annotated[FillChoice | None, typer.Option("--fill", help="Fill at the next open (default) or the same close.")]
SlippageBp = Annotated[float | None, typer.Option("--slippage-bp", help="Slippage, basis points of the price.")]
FeeBp = Annotated[float | None, typer.Option("--fee-bp", help="Fee, basis points of the notional.")]
RebalanceWhen = Annotated[
    RebalanceChoice | None, typer.Option("--rebalance", help="When shares go back to target. Default: on_change.")
]
Drift = Annotated[float | None, typer.Option("--drift", help="Drift of a weight that triggers `--rebalance drift`.")]
CanShort = Annotated[bool | None, typer.Option("--can-short/--no-can-short", help="Whether targets may be negative.")]
InitialCash = Annotated[float | None, typer.Option("--initial-cash", help="Equity at the start. Default: 1,000,000.")]
CashRate = Annotated[float | None, typer.Option("--cash-rate", help="Simple annual rate that cash earns, a fraction.")]
SizingBy = Annotated[SizingChoice | None, typer.Option("--sizing", help="Sides of a bare signal. Default: long_only.")]
GrossLimit = Annotated[float | None, typer.Option("--gross-limit", help="Most gross weight of a sized signal.")]
Share = Annotated[ShareChoice | None, typer.Option("--share-policy", help="Whether feature artifacts leave the world.")]
DecisionTtl = Annotated[int | None, typer.Option("--decision-ttl", help="Seconds for which a decision holds.")]


@app.command("create")
@command
def create(
    session: Session,
    world: Name,
    preset: Annotated[str, typer.Option("--preset", help="Data preset of its strategies.")] = DEFAULT_PRESET,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Upload this policy and put it in force.")
    ] = None,
    description: Description = None,
    mode: Mode = None,
    allow_live: AllowLive = None,
    bars_per_year: BarsPerYear = None,
    fill: FillAt = None,
    slippage_bp: SlippageBp = None,
    fee_bp: FeeBp = None,
    rebalance: RebalanceWhen = None,
    drift: Drift = None,
    can_short: CanShort = None,
    initial_cash: InitialCash = None,
    cash_rate: CashRate = None,
    sizing: SizingBy = None,
    gross_limit: GrossLimit = None,
    share_policy: Share = None,
    decision_ttl: DecisionTtl = None,
) -> None:
    """Make a world."""
    from qmtl_sdk.cli import worlds
    from qmtl_sdk.cli.tables import key_values

    change = worlds.WorldChange(
        preset, description, mode, allow_live, bars_per_year, fill, slippage_bp, fee_bp, rebalance, drift, can_short,
        initial_cash, cash_rate, sizing, gross_limit, share_policy, decision_ttl,
    )  # fmt: skip
    document = worlds.create(session, world, change, policy.read(policy_file) if policy_file else None)
    session.answer(document, key_values(document))


@app.command("update")
@command
def update(
    session: Session,
    world: Name,
    preset: Annotated[str | None, typer.Option("--preset", help="Data preset of its strategies.")] = None,
    description: Description = None,
    mode: Mode = None,
    allow_live: AllowLive = None,
    bars_per_year: BarsPerYear = None,
    fill: FillAt = None,
    slippage_bp: SlippageBp = None,
    fee_bp: FeeBp = None,
    rebalance: RebalanceWhen = None,
    drift: Drift = None,
    can_short: CanShort = None,
    initial_cash: InitialCash = None,
    cash_rate: CashRate = None,
    sizing: SizingBy = None,
    gross_limit: GrossLimit = None,
    share_policy: Share = None,
    decision_ttl: DecisionTtl = None,
) -> None:
    """Change what is stated of a world; everything else stays."""
    from qmtl_sdk.cli import worlds
    from qmtl_sdk.cli.tables import key_values

    change = worlds.WorldChange(
        preset, description, mode, allow_live, bars_per_year, fill, slippage_bp, fee_bp, rebalance, drift, can_short,
        initial_cash, cash_rate, sizing, gross_limit, share_policy, decision_ttl,
    )  # fmt: skip
    document = worlds.update(session, world, change)
    session.answer(document, key_values(document))


@app.command("list")
@command
def list_worlds(session: Session) -> None:
    """List the worlds by name."""
    from qmtl_sdk.cli import worlds
    from qmtl_sdk.cli.tables import rows

    found = worlds.list_all(session)
    columns = {
        "world": "name",
        "mode": "mode",
        "data preset": "data_preset",
        "policy": "active_policy_version",
        "description": "description",
    }
    session.answer({"worlds": found}, rows(found, columns, "no worlds yet: `qmtl world create NAME`"))


@app.command("show")
@command
def show(session: Session, world: Name) -> None:
    """Show what is stated of a world."""
    from qmtl_sdk.cli import worlds
    from qmtl_sdk.cli.documents import world_document
    from qmtl_sdk.cli.tables import key_values

    document = world_document(worlds.read(session, world))
    session.answer(document, key_values(document))


@app.command("status")
@command
def status(session: Session, world: Name) -> None:
    """Show where every strategy of a world stands, and why."""
    from qmtl_sdk._pb.qmtl.world.v1 import GetWorldStatusRequest
    from qmtl_sdk.cli.documents import status_document
    from qmtl_sdk.cli.tables import world_status

    request = GetWorldStatusRequest(world=world)
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.worlds.get_world_status(request, timeout=CALL_SECONDS))
    )
    document = status_document(answer)
    session.answer(document, world_status(document))


@app.command("delete")
@command
def delete(session: Session, world: Name) -> None:
    """Delete a world in which nothing is active, with its policies and evaluations."""
    from qmtl_sdk.cli import worlds

    worlds.delete(session, world)
    session.answer({"deleted": world}, f"deleted {world}")


@app.command("allocations")
@command
def allocations(session: Session, world: Name) -> None:
    """Show how a world's capital is divided."""
    from qmtl_sdk._pb.qmtl.allocation.v1 import AllocationSnapshot, GetAllocationsRequest
    from qmtl_sdk.cli.documents import allocations_document
    from qmtl_sdk.cli.tables import percent, rows

    request = GetAllocationsRequest(world=world)
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.allocations.get_allocations(request, timeout=CALL_SECONDS))
    )
    document = allocations_document(answer.allocations or AllocationSnapshot(world=world, cash=1.0))
    shares = [{**each, "weight": percent(each["weight"])} for each in document["strategies"]]
    shares.append({"strategy_id": "cash", "weight": percent(document["cash"])})
    session.answer(document, rows(shares, {"strategy": "strategy_id", "weight": "weight"}, ""))


@app.command("report")
@command
def report(
    session: Session,
    world: Name,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Where to write the page.")],
) -> None:
    """Write a page of a world that needs nothing else to be read: equity, drawdown, and every rule."""
    from qmtl_foundation.errors import invalid_field
    from qmtl_sdk.report.collect import collect
    from qmtl_sdk.report.page import render

    page = render(session.ask(lambda gateway: collect(gateway, world)))
    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        raise invalid_field("html", f"{html} cannot be written ({error.strerror}); name another file") from error
    session.answer({"world": world, "html": str(html)}, f"wrote {html}")
