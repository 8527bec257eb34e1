from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json
from qmtl_sdk.data.preset import WorldDataPreset, builtin_presets


def document(**fields: Json) -> dict[str, Json]:
    source: dict[str, Json] = {"kind": "csv", "uri": "/bars/a.csv", "time_means": "session"}
    needed: dict[str, Json] = {
        "name": "mine",
        "source": source,
        "symbols": ["A"],
        "interval": "1d",
        "start": "2020-01-01",
    }
    return {**needed, "calendar": "XNYS", **fields}


def refused(given: object) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        WorldDataPreset.parse(given)  # type: ignore[arg-type]  # bad documents are the point
    assert caught.value.reason is Reason.INVALID_FIELD
    return caught.value


@pytest.mark.parametrize("name", sorted(builtin_presets()))
def test_document_reads_back_equal(name: str) -> None:
    preset = builtin_presets()[name]
    assert WorldDataPreset.parse(preset.document()) == preset
    assert WorldDataPreset.parse(preset.document()).document() == preset.document()


@pytest.mark.parametrize(
    ("fields", "field", "mend"),
    [
        ({"symbols": []}, "data_preset.symbols", "at least 1"),
        ({"symbols": ["A", "A"]}, "data_preset.symbols", "name each once"),
        ({"symbols": "AAPL"}, "data_preset.symbols", "array"),
        ({"name": "My Bars"}, "data_preset.name", "lower-case"),
        ({"interval": "7m"}, "data_preset.interval", "does not divide a day"),
        ({"interval": "daily"}, "data_preset.interval", "such as 5m"),
        ({"interval": "2d"}, "data_preset.interval", "write 1d"),
        ({"start": "2020-01-01T00:00:00"}, "data_preset.start", "with its offset"),
        ({"end": "2020-13-01"}, "data_preset.end", "2013-03-01"),
        ({"end": "2019-01-01"}, "data_preset", "not after 'start'"),
        ({"storage": "/data"}, "data_preset.storage", "file:///data/bars"),
        ({"adjustments": "splits"}, "data_preset.adjustments", "split_dividend"),
        ({"schema": {"columns": ["open"]}}, "data_preset.schema.columns", "add it"),
        ({"schema": {"columns": ["close", "symbol"]}}, "data_preset.schema.columns", "choose another"),
        ({"schema": {"mode": "lax"}}, "data_preset.schema.mode", "canary"),
        ({"sla": {"max_missing_fraction": 2.0}}, "data_preset.sla.max_missing_fraction", "less than or equal to 1"),
        ({"sla": {"max_staleness": "soon"}}, "data_preset.sla.max_staleness", "such as 5m"),
        ({"colour": "red"}, "data_preset.colour", "remove it"),
        ({"source": {"kind": "http"}}, "data_preset.source", "'sample', 'parquet', 'csv'"),
    ],
)
def test_bad_field_is_named_with_its_mend(fields: dict[str, Json], field: str, mend: str) -> None:
    violations = refused(document(**fields)).violations
    assert [item.field for item in violations] == [field]
    assert mend in violations[0].description


@pytest.mark.parametrize(
    ("change", "field", "mend"),
    [
        ({"uri": "bars.csv"}, "data_preset.source.uri", "absolute path"),
        ({"timezone": "New York"}, "data_preset.source.timezone", "America/New_York"),
        ({"time_means": "noon"}, "data_preset.source.time_means", "'open'"),
    ],
)
def test_bad_field_of_a_source_is_named_without_its_kind(change: dict[str, Json], field: str, mend: str) -> None:
    source: Json = {"kind": "csv", "uri": "/bars/a.csv", "time_means": "session", **change}
    violations = refused(document(source=source)).violations
    assert [item.field for item in violations] == [field]
    assert mend in violations[0].description


def test_every_bad_field_is_named_at_once() -> None:
    error = refused(document(symbols=[], interval="x", calendar=""))
    assert {item.field.removeprefix("data_preset.") for item in error.violations} == {"symbols", "interval", "calendar"}


def test_session_dates_cannot_place_intraday_bars() -> None:
    assert "open or close" in str(refused(document(interval="1h")))


def test_missing_field_is_to_be_stated() -> None:
    given = document()
    del given["calendar"]
    assert refused(given).violations[0].description == "is missing; state it"


@pytest.mark.parametrize("given", [b"{", b"[]", {"name": {1}}, {"name": float("nan")}])
def test_what_is_no_json_object_is_refused(given: object) -> None:
    refused(given)


def test_dataset_key_covers_the_data_and_not_its_promises() -> None:
    base = WorldDataPreset.parse(document())
    same = document(name="other", storage="file:///x", sla={"max_staleness": "1d"}, schema={"mode": "strict"})
    assert WorldDataPreset.parse(same).dataset_key() == base.dataset_key()
    changes: list[dict[str, Json]] = [{"symbols": ["B"]}, {"end": "2021-01-01"}, {"calendar": "XLON"}]
    for change in changes:
        assert WorldDataPreset.parse(document(**change)).dataset_key() != base.dataset_key()


@pytest.mark.parametrize(("calendar", "sessions"), [("XNYS", 252), ("XLON", 252), ("24/7", 365)])
def test_sessions_per_year_follow_the_calendar(calendar: str, sessions: int) -> None:
    assert WorldDataPreset.parse(document(calendar=calendar)).sessions_per_year == sessions
