"""The tables: on the terminal, and in ``docs/benchmarks.md`` between the markers of each benchmark."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.measure import Amount, Amounts, Findings, Line
from tests.support.pages import write_section

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
DOCUMENT: Final = DOCS / "benchmarks.md"
DOCUMENTS: Final = {"sizing": DOCS / "operations" / "sizing.md"}  # of those that have a page of their own
LIBRARIES: Final = ("numpy", "numba", "polars", "grpcio", "asyncpg", "nats-py", "vectorbt", "vectorbt-rust")
HEADER: Final = (
    "| what | QMTL, ms | beside it | its ms | ratio | target | |",
    "| --- | --: | --- | --: | --: | --- | --- |",
)
AMOUNTS_HEADER: Final = (
    "| what | counted on | one | there are to be | together |",
    "| --- | --- | --: | --: | --: |",
)
SCALES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
MACHINE: Final = "machine"


def table(found: Findings | Amounts) -> str:
    """Return the findings as Markdown."""
    if isinstance(found, Amounts):
        return "\n".join([*AMOUNTS_HEADER, *(_amount(each) for each in found.amounts)])
    rows = [*HEADER, *(_row(line) for line in found.lines)]
    return "\n".join([*rows, *(f"\n{note}" for note in found.notes)])


def machine() -> str:
    """Return what was measured on: processors, Python, libraries; nothing that names the machine."""
    libraries = ", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name)))
    return f"{os.cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}; {libraries}."


def write(name: str, text: str) -> None:
    """Put a text between the markers of a benchmark in its document."""
    write_section(DOCUMENTS.get(name, DOCUMENT), name, text)


def _row(line: Line) -> str:
    peer_ms = "" if line.peer_ms is None else _number(line.peer_ms)
    ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
    target = "" if line.target is None else str(line.target)
    verdict = {None: "", True: "met", False: "**not met**"}[line.met]
    return f"| {line.what} | {_number(line.ours_ms)} | {line.peer} | {peer_ms} | {ratio} | {target} | {verdict} |"


def _amount(amount: Amount) -> str:
    together = _scaled(amount.one * amount.count, amount.unit)
    return f"| {amount.what} | {amount.on} | {_scaled(amount.one, amount.unit)} | {amount.count:,} | {together} |"


def _scaled(value: float, unit: str) -> str:
    """Return a number with its unit, of three digits; counts are not scaled."""
    if unit in ("", "transactions"):
        return f"{value:,.3g} {unit}".strip() if value < 1_000 else f"{value:,.0f} {unit}".strip()
    factor, prefix = next((each for each in SCALES if abs(value) >= each[0]), (1e-6, "µ"))
    return f"{value / factor:.3g} {prefix}{unit}"


def _number(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
