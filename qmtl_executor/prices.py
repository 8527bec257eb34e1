"""The bars that the paper venue fills against: those of the world's data preset, read as backtests read them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from qmtl_executor.book import Bar
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.preset import WorldDataPreset
from qmtl_sdk.data.provider import SeamlessDataProvider, resolve_provider

REREAD_SECONDS: Final = 5.0  # between two looks for newer bars


class Prices(Protocol):
    """Give the bars of a world's symbols."""

    @property
    def symbols(self) -> Sequence[str]:
        """Return the symbols there are, in the order in which backtests hold them."""

    async def at(self, moment: int) -> Bar | None:
        """Return the bar that closes at a moment in nanoseconds (UTC), or None."""

    async def after(self, moment: int, until: int | None) -> Sequence[Bar]:
        """Return the bars that close after a moment and, unless it is None, not after ``until``, oldest first; those
        that are not there yet are missing. Without ``until``, at most the next one."""


class NoPrices:
    """Give the bars of a data preset that nobody registered: none. Marks pass all the same, and intents are refused."""

    @property
    def symbols(self) -> Sequence[str]:
        """Return no symbol."""
        return ()

    async def at(self, moment: int) -> Bar | None:
        """Return no bar."""
        return None

    async def after(self, moment: int, until: int | None) -> Sequence[Bar]:
        """Return no bars."""
        return ()


class PanelPrices:
    """Give the bars of a panel."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    @property
    def symbols(self) -> Sequence[str]:
        """Return the panel's symbols."""
        return self._panel.symbols

    @property
    def newest(self) -> int:
        """Return the close of the newest bar, nanoseconds (UTC)."""
        return int(self._panel.timestamps[-1])

    async def at(self, moment: int) -> Bar | None:
        """Return the bar that closes at a moment, or None."""
        index = int(np.searchsorted(self._panel.timestamps, moment))
        is_there = index < len(self._panel.timestamps) and int(self._panel.timestamps[index]) == moment
        return self._bar(index) if is_there else None

    async def after(self, moment: int, until: int | None) -> Sequence[Bar]:
        """Return the bars after a moment."""
        times = self._panel.timestamps
        first = int(np.searchsorted(times, moment, side="right"))
        last = first + 1 if until is None else int(np.searchsorted(times, until, side="right"))
        return [self._bar(index) for index in range(first, min(last, len(times)))]

    def _bar(self, index: int) -> Bar:
        columns, symbols = self._panel.columns, self._panel.symbols
        closes = _known(symbols, columns["close"][index])
        opens = _known(symbols, columns["open"][index]) if "open" in columns else {}
        return Bar(int(self._panel.timestamps[index]), opens, closes)


class PresetPrices:
    """Give the bars of a data preset, and look for newer ones from time to time."""

    def __init__(self, provider: SeamlessDataProvider) -> None:
        self._provider = provider
        self._panel: PanelPrices | None = None
        self._looked = -math.inf

    @classmethod
    def of(cls, document: bytes, cache: Path) -> PresetPrices:
        """Return the bars of a preset's document. Raises QmtlError for a document that is none."""
        return cls(resolve_provider(WorldDataPreset.parse(document), cache))

    @property
    def symbols(self) -> Sequence[str]:
        """Return the preset's symbols."""
        return self._provider.preset.symbols

    async def at(self, moment: int) -> Bar | None:
        """Return the bar that closes at a moment, or None."""
        return await (await self._read(moment)).at(moment)

    async def after(self, moment: int, until: int | None) -> Sequence[Bar]:
        """Return the bars after a moment."""
        return await (await self._read(moment + 1 if until is None else until)).after(moment, until)

    async def _read(self, wanted: int) -> PanelPrices:
        """Return the bars, read again where a newer one is wanted than there was; not on the event loop."""
        stale = self._panel is None or wanted > self._panel.newest
        if self._panel is None or (stale and time.monotonic() - self._looked > REREAD_SECONDS):
            delivery = await asyncio.to_thread(self._provider.read)
            self._panel, self._looked = PanelPrices(delivery.panel), time.monotonic()
        return self._panel


def _known(symbols: Sequence[str], row: NDArray[np.float64]) -> dict[str, float]:
    return {symbol: float(price) for symbol, price in zip(symbols, row, strict=True) if not math.isnan(price)}
