"""Data presets by the command line, against the running services."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qmtl_foundation.settings import Address
from qmtl_sdk.client.credential import token_source
from qmtl_sdk.client.presets import register_builtin_presets
from qmtl_sdk.data.preset import builtin_presets
from tests.support.command_line import Qmtl

Written = Callable[[str, str], str]

PRESET = """\
name: one_symbol
source: {kind: sample, dataset: us_equity_1d}
symbols: [IBM]
interval: 1d
start: "2010-01-01"
end: "2011-01-01"
calendar: XNYS
"""


def test_builtin_presets_are_listed(qmtl_json: Qmtl, qmtl: Qmtl) -> None:
    names = [preset["name"] for preset in qmtl_json("data", "presets").document["presets"]]
    assert {"sample_us_equity_1d", "sample_sp500_1d"} <= set(names)
    assert "GOOG," in qmtl("data", "presets").out  # where the line breaks depends on the names beside it


def test_registering_the_builtin_presets_again_changes_nothing(qmtl_json: Qmtl, gateway: str) -> None:
    before = qmtl_json("data", "presets").document
    assert register_builtin_presets(Address.parse(gateway), token_source(Address.parse(gateway))) == (
        "sample_sp500_1d",
        "sample_us_equity_1d",
    )
    assert qmtl_json("data", "presets").document == before


def test_added_preset_can_be_read(qmtl_json: Qmtl, written: Written) -> None:
    added = qmtl_json("data", "presets", "add", written("preset.yaml", PRESET)).document
    assert (added["registered"], added["report"]["coverage_fraction"]) == (True, 1.0)
    again = qmtl_json("data", "presets", "add", written("preset.json", json.dumps(added["preset"]))).document
    assert again["preset"] == added["preset"]
    report = qmtl_json("data", "coverage", "one_symbol").document
    assert (report["data_preset"], report["coverage_fraction"], report["gaps"]) == ("one_symbol", 1.0, [])
    assert [symbol["symbol"] for symbol in report["symbols"]] == ["IBM"]


def test_dates_without_quotes_are_taken_as_written(qmtl_json: Qmtl, written: Written) -> None:
    plain = PRESET.replace("one_symbol", "plain_dates").replace('"', "")
    added = qmtl_json("data", "presets", "add", written("preset.yaml", plain)).document
    assert (added["preset"]["start"], added["preset"]["end"]) == ("2010-01-01", "2011-01-01")


def test_data_with_many_missing_bars_is_registered_only_when_it_is_wished(
    qmtl: Qmtl, qmtl_json: Qmtl, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bars of ten, one row on a Saturday, one close below 0."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    bars = written("bars.csv", "time,close\n2010-01-04,10\n2010-01-09,10\n2010-01-15,-1\n")
    source = f"{{kind: csv, uri: {bars}, time_means: session}}\nschema: {{columns: [close]}}"
    sparse = PRESET.replace("one_symbol", "sparse").replace("{kind: sample, dataset: us_equity_1d}", source)
    file = written("preset.yaml", sparse)
    refused = qmtl("data", "presets", "add", file)
    assert (refused.code, refused.out) == (2, "")
    for part in ("20.0%", "off_calendar", "2010-01-09T00:00:00Z", "not_positive", "-1", "--yes", "IBM"):
        assert part in refused.err
    programs = qmtl_json("data", "presets", "add", file)
    assert (programs.code, programs.error["reason"]) == (2, "USAGE")
    assert programs.error["metadata"] == {
        "coverage": "0.2",
        "violations.not_positive": "1",
        "violations.off_calendar": "1",
    }
    assert "sparse" not in [preset["name"] for preset in qmtl_json("data", "presets").document["presets"]]
    added = qmtl_json("data", "presets", "add", file, "--yes").document
    assert added["registered"]
    assert {each["rule"]: each["value"] for each in added["report"]["violations"]} == {
        "not_positive": -1.0,
        "off_calendar": None,
    }
    assert "registered sparse" in qmtl("data", "presets", "add", file, "--yes").out


def test_source_that_went_away_is_said(qmtl: Qmtl, written: Written) -> None:
    bars = written("gone.csv", "time,close\n2010-01-04,10\n2010-01-05,11\n")
    source = f"{{kind: csv, uri: {bars}, time_means: session}}\nschema: {{columns: [close]}}"
    going = PRESET.replace("one_symbol", "going").replace("{kind: sample, dataset: us_equity_1d}", source)
    assert qmtl("data", "presets", "add", written("preset.yaml", going)).code == 0
    assert "cannot be read" not in qmtl("data", "coverage", "going").out
    Path(bars).unlink()
    assert (
        "the source of going cannot be read; data kept from before is served" in qmtl("data", "coverage", "going").out
    )


def test_preset_whose_source_cannot_be_read_is_refused_and_not_registered(qmtl_json: Qmtl, written: Written) -> None:
    source = "{kind: csv, uri: /nowhere/bars.csv, time_means: session}"
    unread = PRESET.replace("one_symbol", "unread").replace("{kind: sample, dataset: us_equity_1d}", source)
    refused = qmtl_json("data", "presets", "add", written("preset.yaml", unread))
    assert (refused.code, refused.error["reason"]) == (1, "DATA_UNAVAILABLE")
    assert "/nowhere" in refused.error["message"]
    assert "unread" not in [preset["name"] for preset in qmtl_json("data", "presets").document["presets"]]


def test_other_preset_of_the_same_name_is_refused(qmtl_json: Qmtl, written: Written) -> None:
    qmtl_json("data", "presets", "add", written("preset.yaml", PRESET))
    refused = qmtl_json("data", "presets", "add", written("preset.yaml", PRESET.replace("IBM", "AAPL")))
    assert (refused.code, refused.error["reason"]) == (1, "PRESET_EXISTS")


def test_coverage_is_readable(qmtl: Qmtl) -> None:
    shown = qmtl("data", "coverage", "sample_us_equity_1d").out
    assert "no gaps" in shown
    assert "GOOG" in shown


def test_fingerprint_is_that_of_the_snapshot(qmtl_json: Qmtl) -> None:
    newest = qmtl_json("data", "fingerprint", "sample_sp500_1d").document
    same = qmtl_json("data", "fingerprint", "sample_sp500_1d", "--as-of", newest["as_of"]).document
    earlier = qmtl_json("data", "fingerprint", "sample_sp500_1d", "--as-of", "2010-01-05").document
    assert same == newest
    assert earlier["fingerprint"] != newest["fingerprint"]
    assert newest["as_of"].startswith(builtin_presets()["sample_sp500_1d"].end[:3])  # type: ignore[index]  # stated there


def test_unknown_preset_is_refused(qmtl_json: Qmtl) -> None:
    refused = qmtl_json("data", "fingerprint", "nothing_like_it")
    assert (refused.code, refused.error["reason"]) == (1, "PRESET_NOT_FOUND")
