"""What the command line can state of a world: the options of ``world create`` and ``world update``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import typer

from qmtl_foundation.execution_model import Fill, Rebalance, Sizing

DEFAULT_PRESET: Final = "sample_us_equity_1d"
UNSTATED: Final = "unstated"  # how a share policy is shown that is none of the choices


class ShareChoice(StrEnum):
    """Say whether feature artifacts may leave the world, where that is stated."""

    WORLD = "world"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldChange:
    """Hold what is stated of a world; None: not stated."""

    preset: Annotated[
        str | None, typer.Option("--preset", help=f"Data preset of its strategies. A new world's: {DEFAULT_PRESET}.")
    ] = None
    description: Annotated[str | None, typer.Option("--description", help="One line for people.")] = None
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="What active strategies may do: compute-only (a new world's), paper or live."),
    ] = None
    allow_live: Annotated[
        bool | None,
        typer.Option("--allow-live/--no-allow-live", help="Whether venue orders are allowed. A new world's: no."),
    ] = None
    bars_per_year: Annotated[
        float | None,
        typer.Option("--bars-per-year", help="Annualises every metric. A new world's: of the preset's calendar."),
    ] = None
    fill: Annotated[
        Fill | None, typer.Option("--fill", help="Fill at the next open (a new world's) or at the same close.")
    ] = None
    slippage_bp: Annotated[
        float | None, typer.Option("--slippage-bp", help="Slippage, basis points of the price. A new world's: 0.")
    ] = None
    fee_bp: Annotated[
        float | None, typer.Option("--fee-bp", help="Fee, basis points of the notional. A new world's: 0.")
    ] = None
    rebalance: Annotated[
        Rebalance | None, typer.Option("--rebalance", help="When shares go back to target. A new world's: on_change.")
    ] = None
    drift: Annotated[
        float | None, typer.Option("--drift", help="Drift of a weight that triggers `--rebalance drift`.")
    ] = None
    can_short: Annotated[
        bool | None,
        typer.Option("--can-short/--no-can-short", help="Whether targets may be negative. A new world's: no."),
    ] = None
    initial_cash: Annotated[
        float | None, typer.Option("--initial-cash", help="Equity at the start. A new world's: 1,000,000.")
    ] = None
    cash_rate: Annotated[
        float | None,
        typer.Option("--cash-rate", help="Simple annual rate that cash earns, a fraction. A new world's: 0."),
    ] = None
    sizing: Annotated[
        Sizing | None, typer.Option("--sizing", help="Sides that a bare signal takes. A new world's: long_only.")
    ] = None
    gross_limit: Annotated[
        float | None, typer.Option("--gross-limit", help="Most gross weight of a sized signal. A new world's: 1.")
    ] = None
    share_policy: Annotated[
        ShareChoice | None,
        typer.Option(
            "--share-policy", help="Who may read its feature artifacts; nothing is promoted until it is stated."
        ),
    ] = None
    decision_ttl: Annotated[
        int | None, typer.Option("--decision-ttl", help="Seconds for which a decision holds. A new world's: 300.")
    ] = None
