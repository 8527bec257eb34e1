"""What people see: tables of worlds, strategies and data, with the reasons beside the verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.terminal import counted, folded_table
from qmtl_sdk.cli.world_options import UNSTATED
from qmtl_sdk.report.figures import ABSENT, judged, metric, number, percent

Document = Mapping[str, Any]

BLOCKS: Final = "▁▂▃▄▅▆▇█"
SPARK_COLUMNS: Final = 24
NARROW_SPARK_COLUMNS: Final = 16
WHY_COLUMNS: Final = 32  # as much room do the reasons need to stand beside the numbers
UNLIMITED_COLUMNS: Final = 10_000  # of a terminal that cuts nothing
KEY_METRICS: Final = ("sharpe", "cagr", "max_drawdown")
PROMOTION: Final = "promotion."  # rules of what may be activated, which a sweep never is
SWEPT_METRICS: Final = (*KEY_METRICS, "turnover", "trades")
STATUS_STYLES: Final = {"valid": "green", "invalid": "yellow", "rejected": "red", "pending": "cyan"}
VERSION_DIGITS: Final = 8  # of the hex digits of a version, enough to tell those of one strategy apart


def sparkline(values: Sequence[float], columns: int = SPARK_COLUMNS) -> str:
    """Return a curve in one line of block characters, from its lowest value to its highest; unknown: blank."""
    if len(values) > columns:
        values = [values[round(index * (len(values) - 1) / (columns - 1))] for index in range(columns)]
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(_block((value - low) / span if span else 0.0) for value in values)


def short_version(version: str) -> str:
    """Return the first digits of a version, without the name of the hash."""
    return version.rpartition(":")[2][:VERSION_DIGITS] or ABSENT


def reason(rule: Document) -> str:
    """Return why a rule failed: the world's sentence, which states the numbers; without one, value and limit."""
    name, message = rule["rule"], rule["message"]
    if not message:
        numbers = [f"{word} {judged(rule[word])}" for word in ("value", "limit") if rule[word] is not None]
        message = ", ".join(numbers)
    return ": ".join(filter(None, (name, message.removeprefix(f"{name}: "))))


def key_values(document: Document) -> Table:
    """Return a document as two columns; objects within become dotted names."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _flat(document):
        table.add_row(name, Text(value))
    return table


def rows(documents: Sequence[Document], columns: Mapping[str, str], empty: str) -> RenderableType:
    """Return a table of documents; ``columns`` maps headings to (dotted) field names, ``empty`` says it when none."""
    if not documents:
        return Text(empty)
    table = folded_table(columns)
    for document in documents:
        flat = dict(_flat(document))
        table.add_row(*(Text(flat.get(name, ABSENT)) for name in columns.values()))
    return table


@dataclass(frozen=True, slots=True)
class StrategyTable:
    """Draw strategies, one row each: the rest beside them on a wide terminal, below them on a narrow one."""

    strategies: Sequence[Document]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table(wide=True)
        unlimited = options.update(max_width=UNLIMITED_COLUMNS)
        if Measurement.get(console, unlimited, table).minimum <= options.max_width:
            yield table
            return
        yield self._table(wide=False)
        yield from (Text.assemble((each["strategy_id"], "bold"), ": ", _why(each)) for each in self.strategies)

    def _table(self, wide: bool) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if wide else (0, 1, 0, 0))
        table.add_column("strategy", overflow="fold", min_width=NARROW_SPARK_COLUMNS)
        if wide:
            table.add_column("version", no_wrap=True)
        for heading in ("status", "active", "weight", "score", *(name.removeprefix("max_") for name in KEY_METRICS)):
            table.add_column(heading, no_wrap=True, justify="left" if heading in ("status", "active") else "right")
        if wide:
            table.add_column("equity", no_wrap=True)
            table.add_column("why", overflow="fold", min_width=WHY_COLUMNS)
        for each in self.strategies:
            table.add_row(*_cells(each, wide))
        return table


def world(document: Document) -> RenderableType:
    """Return what is stated of a world, and what it still lacks before anything can be judged or active."""
    name, lacks = document["name"], []
    if not document["active_policy_version"]:
        lacks.append(f"no policy judges its strategies yet: `qmtl world policy upload {name} FILE --activate`")
    if document["share_policy"] == UNSTATED and document["mode"] != EffectiveMode.COMPUTE_ONLY:
        lacks.append(f"nothing becomes active without a share policy: `qmtl world update {name} --share-policy world`")
    return Group(key_values(document), *(Text(each, "yellow") for each in lacks))


def world_status(document: Document) -> RenderableType:
    """Return a world's status: one row a strategy, and why it stands where it stands."""
    world = document["world"]
    policy = f"policy {world['active_policy_version']}" if world["active_policy_version"] else "no active policy"
    heading = Text.assemble(
        (world["name"], "bold"),
        f"  {world['mode']}, {policy}, {world['data_preset']}, epoch {document['epoch']}, ",
        counted(document["trials"], "trial"),
        f", score {number(document['score'])}" if document["score"] is not None else "",
        f", as of {document['as_of']}" if document["as_of"] else "",
    )
    if not document["strategies"]:
        return Group(heading, *_gates(document), Text(f"no strategies yet: `qmtl submit FILE --world {world['name']}`"))
    return Group(heading, *_gates(document), StrategyTable(document["strategies"]))


def submission(document: Document, warnings: Sequence[str]) -> RenderableType:
    """Return what came of a submission."""
    status = document["status"]
    lines: list[RenderableType] = [
        Text.assemble(
            (document["strategy_id"], "bold"), f" in {document['world']}: ", (status, STATUS_STYLES.get(status, ""))
        )
    ]
    lines += [Text(f"  ✗ {reason(each)}", "yellow") for each in document["violations"]]
    lines += [Text(f"  ✗ {each['kind']}: {each['message']}", "red") for each in _further_findings(document)]
    lines += [Text(f"  ! {each}", "yellow") for each in warnings]
    lines.append(_facts(document))
    return Group(*lines)


def swept(cells: Sequence[Document]) -> RenderableType:
    """Return what came of a sweep: one row a cell, in the order of the grid."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in cells[0]["parameters"]:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("status")
    for name in SWEPT_METRICS:
        table.add_column(name.removeprefix("max_"), no_wrap=True, justify="right")
    table.add_column("why", overflow="fold")
    for cell in cells:
        result = cell["result"] or {"status": "failed", "metrics": {}, "violations": ()}
        failed = [each for each in result["violations"] if not each["rule"].startswith(PROMOTION)]
        status, why = result["status"], [cell["error"]] if cell["error"] else map(reason, failed)
        table.add_row(
            *(Text(_text(value)) for value in cell["parameters"].values()),
            Text(status, STATUS_STYLES.get(status, "red")),
            *(metric(name, result["metrics"].get(name)) for name in SWEPT_METRICS),
            Text("\n".join(why)),
        )
    return table


def _gates(document: Document) -> list[Text]:
    """Return whether a world's orders go through, and what keeps them or its newest round; nothing before its first."""
    world, lines = document["world"]["name"], []
    if document["epoch"]:
        lines.append(Text("open", "green") if document["open"] else Text("frozen", "red"))
    if document["holds"]:
        lines.append(Text(f"held by {', '.join(document['holds'])}: `qmtl world resume {world} --hold NAME`", "red"))
    if document["run_id"]:
        lines.append(Text(f"under way: `qmtl apply watch {world} {document['run_id']}`", "cyan"))
    if document["waits_for"]:
        lines.append(Text(f"its newest round is not applied: {document['waits_for']}", "yellow"))
    return lines


def _facts(document: Document) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    decision, activation = document["decision"], document["activation"]
    table.add_row("version", short_version(document["version"]))
    if decision is not None:
        table.add_row("decision", Text(f"{decision['effective_mode']} ({decision['reason']})"))
    if activation is not None:
        stands = "active" if activation["active"] else "not active"
        table.add_row("activation", f"{stands}, weight {percent(activation['weight'])}, {activation['side']}")
    if document["downgraded"]:
        table.add_row("downgraded", Text(str(document["downgrade_reason"]), "yellow"))
    if document["contribution"] is not None:
        table.add_row("contribution", f"{document['contribution']:+.3f}")
    for name, value in document["metrics"].items():
        table.add_row(name, metric(name, value))
    if document["allocations"] is not None:
        table.add_row("allocations", ", ".join(f"{k} {percent(v)}" for k, v in document["allocations"].items()))
    return table


def _cells(strategy: Document, wide: bool) -> list[RenderableType]:
    name, status, curve = strategy["strategy_id"], strategy["status"], strategy["equity_curve"]
    version = short_version(strategy["strategy_version"])
    cells: list[RenderableType] = [
        *((name, version) if wide else (f"{name}\n{version}\n{sparkline(curve, NARROW_SPARK_COLUMNS)}",)),
        Text(status, STATUS_STYLES.get(status, "")),
        Text("yes", "green") if strategy["active"] else Text("no", "dim"),
        percent(strategy["weight"]) if strategy["active"] else ABSENT,
        number(strategy["score"]),
        *(metric(each, strategy["metrics"].get(each)) for each in KEY_METRICS),
    ]
    return [*cells, sparkline(curve), _why(strategy)] if wide else cells


def _why(strategy: Document) -> Text:
    failed = [reason(rule) for rule in strategy["rules"] if not rule["passed"]]
    if failed:
        return Text("\n".join(failed))
    return Text(f"passes every rule ({len(strategy['rules'])})" if strategy["rules"] else "not judged yet", "dim")


def _further_findings(document: Document) -> Sequence[Document]:
    """Return the findings that no violation tells; the world repeats the first one as its rule's outcome."""
    findings: Sequence[Document] = (document["precheck"] or {}).get("findings", ())
    told = bool(findings) and any(each["rule"] == findings[0]["kind"] for each in document["violations"])
    return findings[1:] if told else findings


def _block(level: float) -> str:
    return BLOCKS[min(int(level * len(BLOCKS)), len(BLOCKS) - 1)] if math.isfinite(level) else " "


def _flat(document: Document, prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in document.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", _text(value)))
    return found


def _text(value: object) -> str:
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.15g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
