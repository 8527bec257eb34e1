"""Alerts for Prometheus: each says how bad it is and what to do, and a case of `promtool test rules` tries it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.dashboards.alerts import RULES, rules
from tests.support.stack import ROOT

CASES = ROOT / "tests" / "helm" / "alerts.test.yaml"

each_rule = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    return found


@each_rule
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    runbook = Path(rule["annotations"]["runbook"])
    assert runbook.parent == Path("docs/runbooks")
    assert (ROOT / runbook).is_file()


@each_rule
def test_a_case_tries_when_an_alert_fires_and_when_it_keeps_quiet(rule: dict[str, Any]) -> None:
    [case] = [each for each in cases() if each["name"] == rule["alert"]]
    assert {each["alertname"] for each in case["alert_rule_test"]} == {rule["alert"]}
    assert {bool(each["exp_alerts"]) for each in case["alert_rule_test"]} == {True, False}


def test_cases_try_these_rules_and_no_others() -> None:
    document = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    assert [(CASES.parent / each).resolve() for each in document["rule_files"]] == [RULES]
    assert [each["name"] for each in document["tests"]] == [each["alert"] for each in rules()]
