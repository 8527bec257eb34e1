"""What a submission came to. The world's evaluation is its only authority; the precheck is a hint and says so."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, overload

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.report.figures import metric

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from qmtl_sdk.backtest.model import BacktestResult
    from qmtl_sdk.proofs import Finding, ProofStatus

SHOWN_METRICS: Final = ("sharpe", "cagr", "max_drawdown", "turnover", "trades")


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold what the world lets the strategy do; times are RFC 3339 in UTC."""

    effective_mode: str
    execution_domain: str
    reason: str
    policy_version: int
    as_of: str
    expires_at: str
    etag: str


@dataclass(frozen=True, slots=True)
class Activation:
    """Hold the strategy's place in the activation set; ``weight`` is a fraction of the world's equity."""

    active: bool
    weight: float
    side: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Violation:
    """Name a rule that the strategy does not pass, with the value judged and its limit."""

    rule: str
    value: float | None
    limit: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Precheck:
    """Hold what the runner found by itself: a hint. ``coverage`` is bars proven over bars there are, [0, 1]."""

    status: ProofStatus
    metrics: Mapping[str, float]
    findings: tuple[Finding, ...]
    coverage: float


@dataclass(frozen=True, slots=True)
class Node:
    """Say of one node whether the graph had it already, and which queue carries its values."""

    name: str
    node_id: str
    known: bool
    queue: str


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """Show the runner's own backtest as Polars frames, made when asked for; ``ts`` is a bar's close in UTC."""

    result: BacktestResult

    @property
    def equity(self) -> pl.DataFrame:
        """Return ``ts`` and ``equity`` (currency of the prices, at the close) of every bar."""
        return self._of_bars("equity", self.result.equity)

    @property
    def returns(self) -> pl.DataFrame:
        """Return ``ts`` and ``return`` (simple) of every bar: what the world was sent."""
        return self._of_bars("return", self.result.returns)

    @property
    def trades(self) -> pl.DataFrame:
        """Return the round trips, those still open marked at the last known price."""
        return self.result.trades().frame()

    @property
    def fills(self) -> pl.DataFrame:
        """Return every fill: ``ts``, ``symbol``, ``size`` (shares, negative for a sell), ``price``, ``fee``."""
        return self.result.fills_frame()

    def __repr__(self) -> str:
        """Return how long it ran and what became of the money; the frames are its attributes."""
        before, after = self.result.initial_cash, float(self.result.equity[-1])
        return f"Backtest({len(self.result.equity):,} bars, equity {before:,.0f} to {after:,.0f})"

    def _of_bars(self, name: str, values: NDArray[np.float64]) -> pl.DataFrame:
        import polars as pl

        times = pl.Series(self.result.timestamps).cast(pl.Datetime("ns", "UTC"))
        return pl.DataFrame({"ts": times, name: values})


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """Hold what came of a submission. ``status``: valid, invalid, pending or rejected; ``timings_ms`` by phase.

    ``warnings`` (what is doubtful about the data, or numerically) and ``backtest`` stay in this process, and are no
    part of the document. ``backtest`` is None where the runner ran none: a pending submission, stated returns, a cell.
    """

    strategy_id: str
    version: str
    world: str
    status: str
    decision: Decision | None
    activation: Activation | None
    metrics: Mapping[str, float]
    contribution: float | None
    violations: tuple[Violation, ...]
    allocations: Mapping[str, float] | None
    precheck: Precheck | None
    downgraded: bool
    downgrade_reason: str | None
    safe_mode: bool
    dataset_fingerprint: str
    eval_key: str
    nodes: tuple[Node, ...]
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    backtest: Backtest | None = field(default=None, repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """Return the JSON form: the fields by their names, all but ``warnings`` and ``backtest``."""
        document = asdict(replace(self, backtest=None))
        del document["backtest"], document["warnings"]
        return document

    def json(self) -> str:
        """Return the JSON text, indented, of ``document``."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        """Return what matters, for people: verdict, reasons, place, figures."""
        place = self.activation
        standing = f"active with {place.weight:.1%} of the world" if place and place.active else "not active"
        lines = [f"{self.strategy_id} in {self.world}: {self.status}, {standing}"]
        lines += [f"  ✗ {violation.message}" for violation in self.violations]
        lines += [f"  ! {warning}" for warning in self.warnings]
        shown = [f"{name} {metric(name, self.metrics[name])}" for name in SHOWN_METRICS if name in self.metrics]
        lines += [f"  {', '.join(shown)}"] if shown else []
        if self.contribution is not None:
            lines.append(f"  contribution to the world's Sharpe ratio {self.contribution:+.3f}")
        if self.decision is not None:
            lines.append(f"  {self.decision.effective_mode}: {self.decision.reason}")
        if self.downgraded:
            lines.append(f"  downgraded: {self.downgrade_reason}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SweepCell:
    """Hold one cell of a sweep: its parameters, and its result, or the sentence that says why it has none."""

    parameters: Mapping[str, Any]
    result: SubmitResult | None
    error: str = ""

    def document(self) -> dict[str, Any]:
        """Return the JSON form: the fields by their names, ``result`` as its own ``document``."""
        result = self.result.document() if self.result is not None else None
        return {"parameters": dict(self.parameters), "result": result, "error": self.error}

    def metric(self, name: str) -> float:
        """Return a metric of the cell, NaN where it has none."""
        return self.result.metrics.get(name, math.nan) if self.result is not None else math.nan


@dataclass(frozen=True, slots=True)
class SweepResult(Sequence[SweepCell]):
    """Hold the cells of a sweep in the order of its grid."""

    cells: tuple[SweepCell, ...]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.cells)

    @overload
    def __getitem__(self, index: int) -> SweepCell: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SweepCell]: ...
    def __getitem__(self, index: int | slice) -> SweepCell | Sequence[SweepCell]:
        """Return cells by their place."""
        return self.cells[index]

    def best(self, metric: str = "sharpe") -> SweepCell:
        """Return the valid cell with the best metric: the least of a drawdown, the largest of a Sharpe ratio.

        Raises ValueError when no valid cell has it.
        """
        from qmtl_foundation.statistics.catalog import METRICS

        valid = [cell for cell in self.cells if cell.result is not None and cell.result.status == "valid"]
        known = [cell for cell in valid if not math.isnan(cell.metric(metric))]
        if not known:
            raise ValueError(f"none of {len(valid)} valid cells (of {len(self.cells)}) has metric {metric!r}")
        choose = min if metric in METRICS and METRICS[metric].less_is_better else max
        return choose(known, key=lambda cell: cell.metric(metric))

    def __repr__(self) -> str:
        """Return how many cells there are and what became of them; ``print`` shows them."""
        found = Counter(cell.result.status if cell.result is not None else "failed" for cell in self.cells)
        return f"SweepResult({len(self)} cells: {', '.join(f'{count} {each}' for each, count in found.items())})"

    def document(self) -> dict[str, Any]:
        """Return the JSON form: the cells in their order."""
        return {"cells": [cell.document() for cell in self.cells]}

    def __str__(self) -> str:
        """Return a line per cell: parameters, verdict, figures."""
        return "\n".join(_line(cell) for cell in self.cells)


class SweepStoppedError(QmtlError):
    """End a sweep before its last cell, for the reason of what ended it; ``done`` has the cells evaluated before."""

    def __init__(self, cause: QmtlError, done: SweepResult) -> None:
        message = f"the sweep ended early: {cause.message}"
        super().__init__(cause.reason, message, metadata=cause.metadata, violations=cause.violations)
        self.done = done


class SweepInterruptedError(KeyboardInterrupt):
    """End a sweep by Ctrl-C; ``done`` has the cells evaluated before, which are trials of the world already."""

    def __init__(self, done: SweepResult) -> None:
        super().__init__(
            f"the sweep was interrupted; done of this exception has the {len(done)} cells evaluated before"
        )
        self.done = done


def _line(cell: SweepCell) -> str:
    stated = ", ".join(f"{name}={value}" for name, value in cell.parameters.items())
    if cell.result is None:
        return f"{stated}: {cell.error}"
    shown = [f"{name} {metric(name, cell.metric(name))}" for name in SHOWN_METRICS if name in cell.result.metrics]
    return f"{stated}: {cell.result.status}, {', '.join(shown)}"
