"""What was published beside the bars is known from its moment on, and is part of the fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json
from qmtl_sdk.data.preset import WorldDataPreset
from qmtl_sdk.data.provider import resolve_provider
from qmtl_sdk.data.report import Delivery

CsvPreset = Callable[..., WorldDataPreset]

DAYS = ["2004-01-02", "2004-01-05", "2004-01-06", "2004-01-07"]  # each closes at 21:00 UTC
BARS = "time,symbol,close\n" + "".join(f"{day},{name},1\n" for day in DAYS for name in "AB")
HEAD = "time,symbol,score\n"


@pytest.fixture
def delivered(csv_preset: CsvPreset, tmp_path: Path) -> Callable[..., Delivery]:
    """Return a maker of deliveries: bars of four days, and the stream `sentiment` with the given rows."""

    def read(rows: str, as_of: str | None = None, **fields: Json) -> Delivery:
        (tmp_path / "sentiment.csv").write_text(rows)
        source = {"kind": "csv", "uri": str(tmp_path / "sentiment.csv"), "time_means": "published"}
        stream = {"name": "sentiment", "source": source, "columns": ["score"], **fields}
        preset = csv_preset(BARS, streams=[stream])
        return resolve_provider(preset, tmp_path / "cache").read(as_of=as_of)

    return read


def scores(delivery: Delivery) -> list[list[float | None]]:
    values = delivery.streams.published["sentiment"].columns["score"].T.tolist()
    return [[None if np.isnan(value) else value for value in symbol] for symbol in values]


def test_bar_has_what_was_published_by_its_close_and_not_a_second_later(delivered: Callable[..., Delivery]) -> None:
    rows = "2004-01-02T21:00:01Z,A,1\n2004-01-06T21:00:00Z,A,2\n2004-01-05T10:00:00Z,B,5\n2004-01-05T11:00:00Z,B,6\n"
    assert scores(delivered(HEAD + rows)) == [[None, 1.0, 2.0, 2.0], [None, 6.0, 6.0, 6.0]]


def test_publication_before_the_first_bar_stands_and_an_empty_cell_ends_it(delivered: Callable[..., Delivery]) -> None:
    rows = "2003-06-01T00:00:00Z,A,7\n2004-01-05T12:00:00Z,A,\n"
    assert scores(delivered(HEAD + rows)) == [[7.0, None, None, None], [None] * 4]


def test_times_are_read_in_the_zone_of_the_source_across_its_clock_change(
    delivered: Callable[..., Delivery], tmp_path: Path
) -> None:
    source = {
        "kind": "csv", "uri": str(tmp_path / "sentiment.csv"), "time_means": "published",
        "timezone": "America/New_York",
    }  # fmt: skip
    rows = "2003-07-01T12:00:00,A,1\n2004-01-05T16:00:00,A,2\n2004-01-06T16:00:01,A,3\n"
    assert scores(delivered(HEAD + rows, source=source))[0] == [1.0, 2.0, 2.0, 3.0]


def test_snapshot_knows_nothing_that_was_published_after_it(delivered: Callable[..., Delivery]) -> None:
    early, late = "2004-01-02T12:00:00Z,A,1\n", "2004-01-06T12:00:00Z,A,2\n"
    then = delivered(HEAD + early + late, as_of="2004-01-05T21:00:00Z")
    assert scores(then)[0] == [1.0, 1.0]
    assert then.report.fingerprint == delivered(HEAD + early, as_of="2004-01-05T21:00:00Z").report.fingerprint


def test_fingerprint_covers_what_was_published(delivered: Callable[..., Delivery]) -> None:
    one = delivered(HEAD + "2004-01-05T12:00:00Z,A,1\n").report
    other = delivered(HEAD + "2004-01-05T12:00:00Z,A,2\n").report
    later = delivered(HEAD + "2004-01-06T12:00:00Z,A,1\n").report
    renamed = delivered(HEAD + "2004-01-05T12:00:00Z,A,1\n", name="mood").report
    assert len({one.fingerprint, other.fingerprint, later.fingerprint, renamed.fingerprint}) == 4
    assert one.streams == {"sentiment": renamed.streams["mood"]}
    assert delivered(HEAD + "2004-01-05T12:00:00Z,A,1\n").report.fingerprint == one.fingerprint


def test_bars_alone_have_the_fingerprint_that_they_have_without_streams(
    csv_preset: CsvPreset, delivered: Callable[..., Delivery], tmp_path: Path
) -> None:
    alone = resolve_provider(csv_preset(BARS), tmp_path / "cache").read().report
    assert alone.streams == {}
    assert alone.fingerprint != delivered(HEAD + "2004-01-05T12:00:00Z,A,1\n").report.fingerprint


def test_stream_of_its_own_symbols(delivered: Callable[..., Delivery]) -> None:
    delivery = delivered("time,score\n2004-01-05T12:00:00Z,20\n", symbols=["VIX"])
    assert delivery.streams.published["sentiment"].symbols == ("VIX",)
    assert scores(delivery) == [[None, 20.0, 20.0, 20.0]]


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("2004-01-05,A,1\n", "is no time that can be read"),
        ("2004-01-05T12:00:00Z,A,inf\n", "row 1 (A): score is infinite; leave the cell empty"),
        ("2004-01-06T12:00:00Z,A,1\n2004-01-05T12:00:00Z,A,1\n", "goes back after row 1"),
    ],
)
def test_bad_rows_are_refused(delivered: Callable[..., Delivery], rows: str, part: str) -> None:
    with pytest.raises(QmtlError) as caught:
        delivered(HEAD + rows)
    assert caught.value.reason is Reason.DATA_INVALID
    assert part in caught.value.message


def test_dates_of_parquet_do_not_say_when_something_was_known(
    delivered: Callable[..., Delivery], tmp_path: Path
) -> None:
    path = tmp_path / "sentiment.parquet"
    frame = pl.DataFrame({"time": ["2004-01-05"], "symbol": ["A"], "score": [1.0]})
    frame.with_columns(pl.col("time").str.to_date()).write_parquet(path)
    with pytest.raises(QmtlError, match="holds dates; store when it was known as Datetime"):
        delivered("", source={"kind": "parquet", "uri": str(path), "time_means": "published"})


@pytest.mark.parametrize(
    ("fields", "field", "mend"),
    [
        ({"name": "bars"}, "streams.0", "choose another name"),
        ({"columns": ["score", "score"]}, "streams.0.columns", "name each once"),
        ({"columns": []}, "streams.0.columns", "at least 1 item"),
        (
            {"source": {"kind": "csv", "uri": "/s.csv", "time_means": "close"}},
            "streams.0",
            "set source.time_means to published",
        ),
        ({"source": {"kind": "csv", "uri": "s.csv", "time_means": "published"}}, "streams.0.source.uri", "absolute"),
    ],
)
def test_bad_stream_of_a_preset_is_named_with_its_mend(
    delivered: Callable[..., Delivery], fields: dict[str, Json], field: str, mend: str
) -> None:
    with pytest.raises(QmtlError) as caught:
        delivered(HEAD, **fields)
    violation = caught.value.violations[0]
    assert violation.field == f"data_preset.{field}"
    assert mend in violation.description


def test_published_bars_are_refused(csv_preset: CsvPreset) -> None:
    with pytest.raises(QmtlError, match=r"set source\.time_means to session, open or close"):
        csv_preset(BARS, {"time_means": "published"})
