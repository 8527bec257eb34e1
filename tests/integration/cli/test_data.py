"""Data presets by the command line, against the running services."""

from __future__ import annotations

import json
from collections.abc import Callable

from qmtl_foundation.settings import Address
from qmtl_sdk.client.presets import register_builtin_presets
from qmtl_sdk.data.preset import builtin_preset
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
    assert register_builtin_presets(Address.parse(gateway)) == ("sample_sp500_1d", "sample_us_equity_1d")
    assert qmtl_json("data", "presets").document == before


def test_added_preset_can_be_read(qmtl_json: Qmtl, written: Written) -> None:
    added = qmtl_json("data", "presets", "add", written("preset.yaml", PRESET)).document
    assert qmtl_json("data", "presets", "add", written("preset.json", json.dumps(added))).document == added
    report = qmtl_json("data", "coverage", "one_symbol").document
    assert (report["data_preset"], report["coverage_fraction"], report["gaps"]) == ("one_symbol", 1.0, [])
    assert [symbol["symbol"] for symbol in report["symbols"]] == ["IBM"]


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
    assert newest["as_of"].startswith(builtin_preset("sample_sp500_1d").end[:3])  # type: ignore[index]  # stated there


def test_unknown_preset_is_refused(qmtl_json: Qmtl) -> None:
    refused = qmtl_json("data", "fingerprint", "nothing_like_it")
    assert (refused.code, refused.error["reason"]) == (1, "PRESET_NOT_FOUND")
