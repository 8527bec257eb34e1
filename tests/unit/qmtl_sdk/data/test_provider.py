from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json
from qmtl_sdk.data.conformance import Rule
from qmtl_sdk.data.disk import BoundedFolder
from qmtl_sdk.data.files import source_of
from qmtl_sdk.data.preset import TimeMeans, WorldDataPreset, builtin_presets
from qmtl_sdk.data.provider import SeamlessDataProvider, resolve_provider
from qmtl_sdk.data.report import Layer, SlaBreach
from qmtl_sdk.data.source import SourceRows
from qmtl_sdk.data.times import DAY_NS, parse_instant

CsvPreset = Callable[..., WorldDataPreset]

HEAD = "time,symbol,close\n"
# NYSE was closed on Thursday 2004-01-01 and on the weekend of the 3rd and 4th.
WEEK = ["2003-12-31", "2004-01-02", "2004-01-05", "2004-01-06", "2004-01-07"]
FULL = HEAD + "".join(f"{day},{name},{number + 1}\n" for number, day in enumerate(WEEK) for name in "AB")
OHLCV: Json = {"columns": ["open", "high", "low", "close", "volume"]}


def provider_of(preset: WorldDataPreset, folder: Path, now: str = "2005-01-01") -> SeamlessDataProvider:
    cache = BoundedFolder(folder / "cache")
    return SeamlessDataProvider(preset, source_of(preset), cache, now_ns=lambda: parse_instant(now, "now"))


def layer(provider: SeamlessDataProvider) -> Layer:
    return provider.read().report.served_from


def without(*rows: str) -> str:
    return "".join(line for line in FULL.splitlines(keepends=True) if not line.startswith(rows))


def test_read_goes_from_source_to_disk_to_memory(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset(FULL)
    first = provider_of(preset, tmp_path)
    assert [layer(first), layer(first)] == [Layer.SOURCE, Layer.MEMORY]
    assert layer(provider_of(preset, tmp_path)) is Layer.DISK


def test_every_layer_delivers_the_same_bars(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset(FULL, storage=(tmp_path / "storage").as_uri())
    provider = provider_of(preset, tmp_path)
    again = [provider.read(), provider.read(), provider_of(preset, tmp_path).read()]
    again.append(provider_of(preset, tmp_path / "other").read())
    assert [d.report.served_from for d in again] == [Layer.SOURCE, Layer.MEMORY, Layer.DISK, Layer.STORAGE]
    for delivery in again:
        assert replace(delivery.report, served_from=Layer.SOURCE) == again[0].report
        np.testing.assert_array_equal(delivery.panel.timestamps, again[0].panel.timestamps)
        np.testing.assert_array_equal(delivery.panel.columns["close"], again[0].panel.columns["close"])
        assert not delivery.panel.columns["close"].flags.writeable
        assert delivery.panel.columns["close"].flags.c_contiguous


def test_changed_source_is_read_again(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset(FULL, storage=(tmp_path / "storage").as_uri())
    provider = provider_of(preset, tmp_path)
    before = provider.read().report
    csv_preset(FULL + "2004-01-08,A,6\n2004-01-08,B,6\n")
    after = provider.read().report
    assert (after.served_from, after.bars) == (Layer.SOURCE, before.bars + 1)
    assert after.fingerprint != before.fingerprint


def test_kept_data_serves_while_the_source_is_gone_and_says_so(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset(FULL)
    kept = provider_of(preset, tmp_path).read().report
    (tmp_path / "bars.csv").unlink()
    report = provider_of(preset, tmp_path).read().report
    assert (report.served_from, report.source_reachable) == (Layer.DISK, False)
    assert report.fingerprint == kept.fingerprint


@pytest.mark.parametrize("content", [b"", b"rubbish"])
@pytest.mark.parametrize("pattern", ["cache/partitions/*", "cache/manifests/*", "storage/*/*.parquet"])
def test_corrupted_copy_is_passed_over_and_made_again(
    csv_preset: CsvPreset, tmp_path: Path, pattern: str, content: bytes
) -> None:
    preset = csv_preset(FULL, storage=(tmp_path / "storage").as_uri())
    sound = provider_of(preset, tmp_path).read().report
    for path in tmp_path.glob(pattern):
        path.write_bytes(content)
    if pattern.startswith("storage"):
        for path in tmp_path.glob("cache/*/*"):
            path.unlink()
    report = provider_of(preset, tmp_path).read().report
    assert report.fingerprint == sound.fingerprint
    assert layer(provider_of(preset, tmp_path)) is Layer.DISK


def test_stored_partition_with_other_bars_is_not_believed(csv_preset: CsvPreset, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    preset = csv_preset(FULL, storage=storage.as_uri())
    sound = provider_of(preset, tmp_path).read()
    first, second = sorted(storage.glob("*/*.parquet"))
    second.write_bytes(first.read_bytes())
    delivery = provider_of(preset, tmp_path / "other").read()
    assert delivery.report.served_from is Layer.SOURCE
    np.testing.assert_array_equal(delivery.panel.columns["close"], sound.panel.columns["close"])


def test_range_is_half_open_and_needs_only_its_partitions(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset(FULL)
    provider_of(preset, tmp_path).read()
    delivery = provider_of(preset, tmp_path).read(start="2004-01-02T21:00:00Z", end="2004-01-06T21:00:00Z")
    # The bar that closed at the start belongs before it; the one that closes at the end belongs to the range.
    assert delivery.panel.columns["close"][:, 0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("as_of", "bars"), [("2004-01-05T21:00:00Z", 3), ("2004-01-05T20:59:59Z", 2)])
def test_bar_is_known_at_its_close_and_not_before(csv_preset: CsvPreset, tmp_path: Path, as_of: str, bars: int) -> None:
    report = provider_of(csv_preset(FULL), tmp_path).read(as_of=as_of).report
    assert (report.bars, report.as_of) == (bars, as_of)


def test_snapshot_is_the_close_of_the_newest_bar_by_default(csv_preset: CsvPreset, tmp_path: Path) -> None:
    provider = provider_of(csv_preset(FULL), tmp_path)
    assert provider.read().report.as_of == "2004-01-07T21:00:00Z"
    assert provider.read(end="2004-01-06").report.as_of == "2004-01-07T21:00:00Z"


def test_snapshot_has_the_same_fingerprint_whatever_came_later(csv_preset: CsvPreset, tmp_path: Path) -> None:
    early = provider_of(csv_preset(without("2004-01-07")), tmp_path).read().report
    provider = provider_of(csv_preset(FULL), tmp_path)
    assert provider.read(as_of=early.as_of).report.fingerprint == early.fingerprint
    assert provider.read().report.fingerprint != early.fingerprint


@pytest.mark.parametrize(
    "window", [{"start": "2004-02-01"}, {"end": "2003-12-01"}, {"start": "2006-01-01"}, {"as_of": "2003-01-01"}]
)
def test_empty_history_is_an_error(csv_preset: CsvPreset, tmp_path: Path, window: dict[str, str]) -> None:
    with pytest.raises(QmtlError, match="the history is empty") as caught:
        provider_of(csv_preset(FULL), tmp_path).read(**window)
    assert caught.value.reason is Reason.DATA_UNAVAILABLE


def test_bad_snapshot_time_is_named(csv_preset: CsvPreset, tmp_path: Path) -> None:
    with pytest.raises(QmtlError, match="as_of: 'now' is no point in time"):
        provider_of(csv_preset(FULL), tmp_path).read(as_of="now")


def test_missing_session_is_a_gap_and_a_null_bar(csv_preset: CsvPreset, tmp_path: Path) -> None:
    delivery = provider_of(csv_preset(without("2004-01-05,A", "2004-01-06")), tmp_path).read()
    report = delivery.report
    found = [(gap.symbol, gap.bars, str(gap.span)) for gap in report.gaps]
    assert found == [
        ("A", 2, "[2004-01-05T14:30:00Z, 2004-01-06T21:00:00Z)"),
        ("B", 1, "[2004-01-06T14:30:00Z, 2004-01-06T21:00:00Z)"),
    ]
    np.testing.assert_array_equal(delivery.panel.columns["close"][:, 0], [1, 2, np.nan, np.nan, 5])
    assert report.coverage_fraction == 7 / 10
    assert [str(span) for span in report.coverage.intervals] == [
        "[2003-12-31T14:30:00Z, 2004-01-05T14:30:00Z)",
        "[2004-01-06T21:00:00Z, 2004-01-07T21:00:00Z)",
    ]


def test_before_its_first_bar_nothing_is_missing_even_in_a_later_read(csv_preset: CsvPreset, tmp_path: Path) -> None:
    provider = provider_of(csv_preset(without("2003-12-31,B", "2004-01-02,B", "2004-01-06,B")), tmp_path)
    assert [gap.bars for gap in provider.read().report.gaps] == [1]
    assert [gap.bars for gap in provider.read(start="2004-01-06").report.gaps] == [1]
    assert [item.expected for item in provider.read().report.symbols] == [5, 3]


def test_weekends_and_holidays_are_no_gaps(csv_preset: CsvPreset, tmp_path: Path) -> None:
    report = provider_of(csv_preset(FULL), tmp_path).read().report
    assert report.gaps == ()
    assert [item.covered for item in report.symbols] == [report.coverage] * 2


BROKEN = {
    Rule.INFINITE: "1,2,1,2,inf",
    Rule.NOT_POSITIVE: "1,2,-1,2,5",
    Rule.PARTIAL_PRICES: ",2,1,2,5",
    Rule.OUTSIDE_HIGH_LOW: "3,2,1,2,5",
    Rule.NEGATIVE_VOLUME: "1,2,1,2,-5",
}


@pytest.mark.parametrize("rule", BROKEN)
def test_canary_counts_a_broken_row_and_delivers(csv_preset: CsvPreset, tmp_path: Path, rule: Rule) -> None:
    text = f"time,open,high,low,close,volume\n2004-01-02,1,2,1,2,5\n2004-01-05,{BROKEN[rule]}\n"
    provider = provider_of(csv_preset(text, symbols=["A"], schema=OHLCV), tmp_path)
    for report in (provider.read().report, provider_of(provider.preset, tmp_path).read().report):
        assert [(item.rule, item.count, item.row, item.symbol) for item in report.violations] == [(rule, 1, 2, "A")]
        assert report.bars == 2
    assert not any(np.isinf(values).any() for values in provider.read().panel.columns.values())


@pytest.mark.parametrize("rule", BROKEN)
def test_strict_blocks_a_broken_row_from_every_layer(csv_preset: CsvPreset, tmp_path: Path, rule: Rule) -> None:
    text = f"time,open,high,low,close,volume\n2004-01-02,1,2,1,2,5\n2004-01-05,{BROKEN[rule]}\n"
    schema: Json = {"columns": ["open", "high", "low", "close", "volume"], "mode": "strict"}
    preset = csv_preset(text, symbols=["A"], schema=schema)
    for _ in range(2):
        with pytest.raises(QmtlError, match=f"{rule} in .*first row 2: A at 2004-01-05") as caught:
            provider_of(preset, tmp_path).read()
        assert caught.value.reason is Reason.DATA_INVALID


def test_row_off_the_calendar_is_left_out_and_counted(csv_preset: CsvPreset, tmp_path: Path) -> None:
    report = provider_of(csv_preset(FULL + "2004-01-10,A,9\n"), tmp_path).read().report
    assert [(item.rule, item.count, item.time) for item in report.violations] == [
        (Rule.OFF_CALENDAR, 1, "2004-01-10T00:00:00Z")
    ]
    assert report.bars == 5


def test_rows_outside_the_range_are_left_out_unjudged(csv_preset: CsvPreset, tmp_path: Path) -> None:
    text = HEAD + "2002-01-05,A,-1\n2002-01-07,A,-1\n" + FULL.removeprefix(HEAD)
    report = provider_of(csv_preset(text), tmp_path).read().report
    assert (report.bars, report.violations) == (5, ())


def test_broken_promises_are_reported_with_limit_and_value(csv_preset: CsvPreset, tmp_path: Path) -> None:
    sla: Json = {"max_missing_fraction": 0.05, "max_staleness": "1d"}
    preset = csv_preset(without("2004-01-05,A"), sla=sla)
    report = provider_of(preset, tmp_path, now="2004-01-09T21:00:00Z").read().report
    missing, stale = report.sla_breaches
    assert missing.rule == "max_missing_fraction"
    assert missing.value == pytest.approx(0.1)
    assert stale == SlaBreach("max_staleness_s", 86_400.0, 2 * 86_400.0)


def test_report_has_a_json_form(csv_preset: CsvPreset, tmp_path: Path) -> None:
    document = provider_of(csv_preset(without("2004-01-05,A")), tmp_path).read().report.document()
    assert document["gaps"] == [{"bars": 1, "span": ["2004-01-05T14:30:00Z", "2004-01-05T21:00:00Z"], "symbol": "A"}]
    assert document["served_from"] == "source"


def read_in_process(folder: Path) -> None:
    resolve_provider(builtin_presets()["sample_sp500_1d"], folder).read()


def test_processes_that_fill_the_cache_at_once_leave_it_whole(tmp_path: Path) -> None:
    workers = [multiprocessing.get_context("spawn").Process(target=read_in_process, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    report = resolve_provider(builtin_presets()["sample_sp500_1d"], tmp_path).read().report
    assert (report.served_from, report.bars) == (Layer.DISK, 5_031)


class CountingSource:
    """A source of somebody else's: one symbol, a bar a day, round the clock."""

    def version(self) -> str:
        return "1"

    def read(self) -> SourceRows:
        days = np.arange(5, dtype=np.int64) * DAY_NS + parse_instant("2004-01-01", "first")
        close = np.arange(1.0, 6.0)
        return SourceRows(days, np.zeros(5, np.int64), {"close": close}, np.arange(1, 6), TimeMeans.SESSION)


def test_source_of_ones_own_is_served_by_the_protocol(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset("", symbols=["A"], calendar="24/7")
    report = resolve_provider(preset, tmp_path, source=CountingSource()).read().report
    assert (report.bars, report.bars_per_year, report.as_of) == (5, 365, "2004-01-06T00:00:00Z")


def test_column_that_a_source_does_not_deliver_is_named(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset("", symbols=["A"], calendar="24/7", schema=OHLCV)
    with pytest.raises(QmtlError, match="no column 'open'"):
        resolve_provider(preset, tmp_path, source=CountingSource()).read()


def test_manifest_with_a_changed_digit_is_not_believed(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset(FULL)
    sound = provider_of(preset, tmp_path).read().report
    (path,) = tmp_path.glob("cache/manifests/*")
    path.write_text(path.read_text().replace("2003-12-31T", "2003-12-30T"))
    assert provider_of(preset, tmp_path).read().report == sound


def test_fingerprint_of_the_sample_is_pinned(tmp_path: Path) -> None:
    report = resolve_provider(builtin_presets()["sample_us_equity_1d"], tmp_path).read().report
    assert report.fingerprint == "blake3:d9c29ce858abb743867d0cc6a3bc5d05db1f424aacab98b005d21b68bb14204b"
