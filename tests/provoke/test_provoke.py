"""Every alert has what provokes it, and a row in the document; what is hurried are durations, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.dashboards.alerts import RULES, rules
from tests.provoke.__main__ import main
from tests.provoke.hurried import hurried, hurry
from tests.provoke.provocations import ALL
from tests.provoke.report import told
from tests.provoke.scene import repeating
from tests.support.alerts import asked


def test_every_alert_is_provoked_by_something() -> None:
    assert Counter(alert for each in ALL for alert in each.alerts) == Counter(rule["alert"] for rule in rules())


def test_a_word_that_names_no_alert_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "QmtlDifSlow"])
    assert "QmtlDiffSlow" in capsys.readouterr().err


def test_the_document_says_of_every_alert_how_it_was_provoked() -> None:
    assert told() == [rule["alert"] for rule in rules()]


def test_ranges_and_lasting_are_divided_and_limits_stay() -> None:
    rule = {
        "alert": "Slow",
        "expr": (
            "histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m]))) > 500 and sum(rate(x_total[1h30m])) > 0.05"
        ),
        "for": "30s",
        "labels": {"severity": "warning"},
    }
    assert hurried(rule, 20) == {
        "alert": "Slow",
        "expr": (
            "histogram_quantile(0.95, sum by (le) (rate(a_bucket[15000ms]))) > 500 "
            "and sum(rate(x_total[270000ms])) > 0.05"
        ),
        "for": "1500ms",
        "labels": {"severity": "warning"},
    }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_hurried_rule_asks_for_the_same(rule: dict[str, Any]) -> None:
    made = hurried(rule, 20)
    assert asked(made["expr"]) == asked(rule["expr"])
    assert {name: value for name, value in made.items() if name not in ("expr", "for")} == {
        name: value for name, value in rule.items() if name not in ("expr", "for")
    }
    assert ("for" in made) == ("for" in rule)


def test_all_rules_are_hurried_in_their_groups(tmp_path: Path) -> None:
    hurry(tmp_path / "rules.yaml", 20)
    before, after = (yaml.safe_load(path.read_text()) for path in (RULES, tmp_path / "rules.yaml"))
    names = [
        [(group["name"], rule["alert"]) for group in each["groups"] for rule in group["rules"]]
        for each in (before, after)
    ]
    assert names[0] == names[1]


def test_what_a_repeated_call_raises_is_raised_at_the_end() -> None:
    def fail() -> None:
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"), repeating(fail):
        pass
