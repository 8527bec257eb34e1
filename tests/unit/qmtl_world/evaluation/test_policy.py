"""A policy is read whole, or refused with every fault at its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_world.allocation.weights import Weighting, WeightRules
from qmtl_world.apply.model import OnDemote, OnFreeze, RunTerms
from qmtl_world.evaluation.model import (
    Apply,
    ConstraintRules,
    DataRules,
    GateRule,
    HysteresisRules,
    Policy,
    SampleRules,
    SelectRules,
)
from qmtl_world.evaluation.policy import content_id_of, parse_policy

MINIMAL = 'gates:\n  - {name: sharpe, rule: "metrics.sharpe >= 0.5"}\nselect: {top_k: 3}\n'
DOCS = Path(__file__).parents[4] / "docs" / "policies.md"


def violations(text: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(QmtlError) as caught:
        parse_policy(text if isinstance(text, bytes) else text.encode())
    assert caught.value.reason is Reason.INVALID_POLICY
    return [(violation.field, violation.description) for violation in caught.value.violations]


def only_violation(text: str | bytes) -> tuple[str, str]:
    found = violations(text)
    assert len(found) == 1, found
    return found[0]


def test_minimal_policy_has_safe_defaults() -> None:
    assert parse_policy(MINIMAL.encode()) == Policy(
        gates=(GateRule("sharpe", "metrics.sharpe >= 0.5"),), select=SelectRules(top_k=3)
    )


def test_every_section_is_read() -> None:
    text = MINIMAL.replace("top_k: 3", "top_k: 3, top_k_long: 2, top_k_short: 1") + (
        "apply: manual\nscore: metrics.calmar\n"
        "data: {max_behind_days: null, max_age_days: 7, min_coverage: .9}\n"
        "sample: {min_bars: 100, min_trades: 5}\n"
        "constraints: {max_correlation: 0.9, max_gross: 1, max_abs_net: 0.5, max_symbol_weight: 0.2}\n"
        "hysteresis: {promote_after: 2, demote_after: 3, min_dwell_rounds: 4}\n"
        "weights: {method: inverse_volatility, max_weight: 0.5}\n"
        "runs:\n  freeze_timeout_ms: 100\n  switch_timeout_ms: 200\n  unfreeze_timeout_ms: 300\n"
        "  rollback_timeout_ms: 600000\n  on_demote: hand_over\n  on_freeze: leave\n"
    )
    assert parse_policy(text.encode()) == Policy(
        gates=(GateRule("sharpe", "metrics.sharpe >= 0.5"),),
        select=SelectRules(3, 2, 1),
        score="metrics.calmar",
        apply=Apply.MANUAL,
        data=DataRules(None, 7.0, 0.9),
        sample=SampleRules(100, 5),
        constraints=ConstraintRules(0.9, 1.0, 0.5, 0.2),
        hysteresis=HysteresisRules(2, 3, 4),
        weights=WeightRules(Weighting.INVERSE_VOLATILITY, 0.5),
        runs=RunTerms(100, 200, 300, 600_000, OnDemote.HAND_OVER, OnFreeze.LEAVE),
    )


def test_content_id_covers_the_terms_of_runs_and_no_layout() -> None:
    def content(addition: str) -> str:
        return content_id_of(parse_policy((MINIMAL + addition).encode()))

    assert content("") == content("runs: {freeze_timeout_ms: 30000, on_freeze: cancel}  # as by default\n")
    assert len({content(""), content("runs: {freeze_timeout_ms: 29999}"), content("runs: {on_demote: hold}")}) == 3


@pytest.mark.parametrize(
    ("addition", "field", "description"),
    [
        ("selekt: 1", "selekt", "4:1: unknown key; did you mean select?"),
        ("zzz: 1", "zzz", "4:1: unknown key; known are gates, select, score"),
        ("hysteresis: {promote_afte: 2}", "hysteresis.promote_afte", "4:14: unknown key; did you mean promote_after?"),
        ("apply: on", "apply", "4:8: should be 'auto' or 'manual', is 'on'"),
        ("data: {min_coverage: 1:30}", "data.min_coverage", "4:22: should be a valid number, is '1:30'"),
        ("data: {min_coverage: yes}", "data.min_coverage", "4:22: should be a valid number, is 'yes'"),
        ("data: {min_coverage: true}", "data.min_coverage", "4:22: should be a valid number, is true"),
        ("data: {min_coverage: 1.5}", "data.min_coverage", "4:22: should be less than or equal to 1, is 1.5"),
        ("sample: {min_bars: 1e3}", "sample.min_bars", "4:20: should be a valid integer, is 1000.0"),
        ("sample: {min_bars: '300'}", "sample.min_bars", "4:20: should be a valid integer, is '300'"),
        ("sample: {min_bars: 0300}", "sample.min_bars", "4:20: should be a valid integer, is '0300'"),
        ("sample: null", "sample", "4:9: must be a mapping, is null"),
        ("weights: {max_weight: .inf}", "weights.max_weight", "4:23: should be a valid number, is '.inf'"),
        ("weights: {max_weight: 1e999}", "weights.max_weight", "4:23: should be a finite number, is inf"),
        ("runs: {freeze_timeout: 5}", "runs.freeze_timeout", "4:8: unknown key; did you mean freeze_timeout_ms?"),
        (
            "runs: {freeze_timeout_ms: 99}",
            "runs.freeze_timeout_ms",
            "4:27: should be greater than or equal to 100, is 99",
        ),
        (
            "runs: {rollback_timeout_ms: 600001}",
            "runs.rollback_timeout_ms",
            "4:29: should be less than or equal to 600000, is 600001",
        ),
        ("runs: {switch_timeout_ms: 10s}", "runs.switch_timeout_ms", "4:27: should be a valid integer, is '10s'"),
        ("runs: {on_demote: sell}", "runs.on_demote", "4:19: should be 'flatten', 'hold' or 'hand_over', is 'sell'"),
        ("runs: {on_freeze: no}", "runs.on_freeze", "4:19: should be 'cancel' or 'leave', is 'no'"),
        ("runs: 30000", "runs", "4:7: must be a mapping, is 30000"),
        ("score: metrics.sharpe > 0.5", "score", "4:8: a score must be a number, this is a bool"),
        ("score: 3", "score", "4:8: should be a valid string, is 3"),
        ("score: ''", "score", "4:9: empty; write an expression"),
        ("score: metrics.sharp", "score", "4:15: unknown name metrics.sharp; did you mean metrics.sharpe?"),
    ],
)
def test_fault_is_named_with_line_column_field_and_mend(addition: str, field: str, description: str) -> None:
    found = only_violation(MINIMAL + addition + "\n")
    assert found[0] == field
    assert found[1].startswith(description)


@pytest.mark.parametrize(
    ("rule", "description"),
    [
        ("metrics.sharpe > '0.5'", "3:26: > cannot take double and string; write numbers without quotes"),
        ("'metrics.sharpe > 1'", "3:27: > cannot take double and int; write numbers beside a double with a point"),
        ("metrics.sharpe", "3:11: a gate must be true or false, this is a double; compare it"),
        ("metrics.nonesuch > 1.0", "3:18: unknown name metrics.nonesuch"),
        ("metrics > 1.0", "3:11: unknown name metrics; known are metrics.total_return"),
        ("metrics.sharpe >=", "3:28: Syntax error"),
        ('"metrics.sharpe > 1.0 &&"', "3:35: Syntax error"),
        ("position.size > 1.0", "3:19: unknown name or function position"),
        ("1e400 > 0.0", "3:11: a number here is too large for a double"),
        ("\"'a' == 'a'\"", "3:12: only numbers and truth values have a place in a rule"),
        ('"[1].all(x, x > 0)"', "3:19: unknown name or function all"),
        ('"[1.0] == [1.0]"', "3:12: lists, maps and messages have no place"),
        ('"has(metrics.sharpe)"', "3:15: unknown name or function has"),
        ("(" * 40 + "true" + ")" * 40, "3:11: nested too deeply; at most 32 levels"),
        ("true && " * 200 + "true", "3:11: 1604 characters, at most 1000"),
        ("|\n      metrics.sharpe > 0.5\n        && metrics.nonesuch > 1.0", "5:19: unknown name"),
        (">\n      metrics.sharpe > 0.5\n      && metrics.nonesuch > 1.0", "3:11: unknown name metrics.nonesuch"),
        ('"metrics.sharpe > \\u0030.5 && metrics.nonesuch > 1.0"', "3:11: unknown name metrics.nonesuch"),
    ],
)
def test_faulty_rule_is_placed_in_the_document(rule: str, description: str) -> None:
    found = violations(f"gates:\n  - name: sharpe\n    rule: {rule}\nselect: {{top_k: 3}}\n")
    assert {field for field, _ in found} == {"gates[0].rule"}
    assert any(text.startswith(description) for _, text in found), found


def test_folded_rule_states_the_place_inside_the_rule() -> None:
    rule = ">\n      metrics.sharpe > 0.5\n      && metrics.nonesuch > 1.0"
    _, description = only_violation(f"gates:\n  - name: a\n    rule: {rule}\nselect: {{top_k: 3}}\n")
    assert description.endswith("(line 1, column 32 of the rule)")


def test_all_faults_are_reported_at_once_in_document_order() -> None:
    text = """apply: sometimes
gates:
  - {name: sharpe, rule: "metrics.sharpe > '0.5'"}
  - {name: sharpe, rule: "metrics.foo > 0.5", min_bars: 1}
  - {name: look_ahead, rule: "metrics.sharpe > 0.5"}
  - {name: Big, rule: "metrics.sharpe > 0.5"}
  - 4
score: "metrics.bar + metrics.baz"
"""
    assert [field for field, _ in violations(text)] == [
        "select",
        "apply",
        "gates[0].rule",
        "gates[1].name",
        "gates[1].rule",
        "gates[1].min_bars",
        "gates[2].name",
        "gates[3].name",
        "gates[4]",
        "score",
        "score",
    ]


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (b"", "1:1: a policy is a mapping"),
        (b"just text", "1:1: a policy is a mapping"),
        (b"- 1", "1:1: a policy is a mapping"),
        (b"a: [1,\nb: 2", "not YAML"),
        (b"a: \t{\n\tb: 1", "not YAML"),
        (b"a: 'open", "not YAML"),
        (b"a: \xff", "1:4: not UTF-8"),
        (b"a: 1\nb: \x01", "2:4: character #x0001 has no place in YAML"),
        (b"a: 1\n---\nb: 2", "2:1: a second document"),
        (b"a: &anchor [1]\nb: *anchor", "1:4: the anchor &anchor is refused"),
        (b"b: *anchor", "1:4: the alias *anchor is refused"),
        (b"a: !!python/object/apply:os.system ['true']", "1:4: the tag tag:yaml.org,2002:python"),
        (b"a: !!float '1.5'", "1:4: the tag"),
        (b"? [a, b]\n: 1", "1:3: a key must be a plain name"),
        (b"[" * 5_000, "1:9: nested deeper than 8 levels"),
        (b"{a: " * 5_000, "nested deeper than 8 levels"),
        (b"a: [" + b"1," * 3_000 + b"]", "more than 2000 values"),
        (b"a: " + b"x" * 70_000, "1:1: 70003 bytes, at most 65536"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_text_that_is_no_plain_yaml_is_refused(text: bytes, description: str) -> None:
    assert description in violations(text)[0][1]


def test_billion_laughs_is_refused_before_it_is_built() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    assert "the anchor &a0 is refused" in only_violation("\n".join(lines))[1]


def test_duplicate_keys_are_refused_at_every_level() -> None:
    assert violations("select: {top_k: 1, top_k: 2}\napply: auto\napply: manual\n") == [
        ("select.top_k", "1:20: stated twice, first on line 1; remove one"),
        ("apply", "3:1: stated twice, first on line 2; remove one"),
    ]


def test_merge_key_is_an_unknown_key() -> None:
    assert only_violation(MINIMAL + "<<: {apply: auto}\n")[0] == "<<"


def test_error_states_the_first_fault_for_people_and_programs() -> None:
    with pytest.raises(QmtlError, match=r"^the policy is refused: at 4:8 in apply: should be") as caught:
        parse_policy((MINIMAL + "apply: maybe").encode())
    assert caught.value.metadata == {"field": "apply", "line": "4", "column": "8", "faults": "1"}


def test_gate_named_after_a_yaml_1_1_boolean_is_a_name() -> None:
    policy = parse_policy(MINIMAL.replace("name: sharpe", "name: no").encode())
    assert policy.gates[0].name == "no"


def test_every_example_of_the_reference_is_valid() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        parse_policy(example.encode())
