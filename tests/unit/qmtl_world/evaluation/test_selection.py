"""One round of a world: each step of the decision, by its rule, limit and value. Peer for correlations: NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmtl_world.evaluation.correlation import correlate
from qmtl_world.evaluation.model import (
    Candidate,
    Cohort,
    DataFacts,
    Proof,
    ProofState,
    ReturnSeries,
    RiskFacts,
    RoundDecision,
    RoundState,
    Side,
    Status,
    StrategyDecision,
)
from qmtl_world.evaluation.selection import decide
from tests.support.cohorts import ROUND_ONE, Draft, candidate, cohort, days, policy


def once(*drafts: Draft, text: str = "", top_k: int = 3) -> RoundDecision:
    return decide(cohort(*drafts), policy(text, top_k), RoundState())


def of(decision: RoundDecision, strategy_id: str) -> StrategyDecision:
    return next(each for each in decision.strategies if each.strategy_id == strategy_id)


def active(decision: RoundDecision) -> list[str]:
    return [each.strategy_id for each in decision.strategies if each.active]


def failed(decision: RoundDecision, strategy_id: str) -> list[str]:
    return [each.rule for each in of(decision, strategy_id).violations]


def test_valid_strategy_is_active_with_its_weight() -> None:
    found = of(once(Draft("a"), Draft("b")), "a")
    assert (found.status, found.active, found.weight, found.score) == (Status.VALID, True, 0.5, 1.0)
    assert found.violations == ()


def test_empty_cohort_has_nothing_active() -> None:
    decision = once()
    assert (decision.strategies, decision.world_score) == ((), None)


@pytest.mark.parametrize(
    ("draft", "text", "rule", "value", "limit"),
    [
        (Draft("a", data=DataFacts(behind_days=8.0)), "", "data.max_behind_days", 8.0, 7.0),
        (Draft("a", data=DataFacts(age_days=8.0)), "data: {max_age_days: 7}", "data.max_age_days", 8.0, 7.0),
        (Draft("a", data=DataFacts(coverage=0.5)), "", "data.min_coverage", 0.5, 0.99),
        (Draft("a", bars=251), "", "sample.min_bars", 251, 252),
        (Draft("a", trades=3), "sample: {min_trades: 5}", "sample.min_trades", 3, 5),
        (Draft("a", sharpe=0.4), "", "sharpe", 0.4, 0.5),
    ],
)
def test_rule_of_its_own_makes_a_strategy_invalid(
    draft: Draft, text: str, rule: str, value: float, limit: float
) -> None:
    found = of(once(draft, text=text), "a")
    assert (found.status, found.active, found.weight, found.contribution) == (Status.INVALID, False, 0.0, None)
    outcome = next(each for each in found.violations if each.rule == rule)
    assert (outcome.value, outcome.limit) == (value, limit)
    assert outcome.message.startswith(f"{rule}: ")


def test_unknown_coverage_fails() -> None:
    assert failed(once(Draft("a", data=DataFacts(coverage=float("nan")))), "a") == ["data.min_coverage"]


def test_strategy_without_a_score_is_invalid() -> None:
    decision = once(Draft("a"), text="score: metrics.calmar")
    assert (of(decision, "a").score, failed(decision, "a")) == (None, ["score"])


@pytest.mark.parametrize(
    ("state", "rule"),
    [
        (ProofState.LOOK_AHEAD, "look_ahead"),
        (ProofState.SHORT_WARM_UP, "warm_up_too_short"),
        (ProofState.MISSING, "unproven"),
    ],
)
def test_proofs_reject(state: ProofState, rule: str) -> None:
    decision = once(Draft("a", proof=Proof(state, "node x at bar y")))
    assert (of(decision, "a").status, active(decision), failed(decision, "a")) == (Status.REJECTED, [], [rule])


def test_finding_is_in_the_message() -> None:
    decision = once(Draft("a", proof=Proof(ProofState.LOOK_AHEAD, "node x at 2020-01-02")))
    assert of(decision, "a").violations[0].message == "look_ahead: node x at 2020-01-02"


def test_returns_alone_are_judged_and_never_active() -> None:
    decision = once(Draft("a", has_target=False, proof=Proof(ProofState.MISSING)), Draft("b"))
    assert (of(decision, "a").status, failed(decision, "a")) == (Status.VALID, ["no_target"])
    assert active(decision) == ["b"]


def test_top_k_takes_the_best_and_names_the_rank_of_the_others() -> None:
    decision = once(Draft("a", 0.7), Draft("b", 0.9), Draft("c", 0.8), top_k=2)
    assert active(decision) == ["b", "c"]
    outcome = of(decision, "a").violations[0]
    assert (outcome.rule, outcome.value, outcome.limit) == ("select.top_k", 3, 2)
    assert outcome.message == "select.top_k: with score 0.7 it would be active strategy 3, needs <= 2"


def test_ties_go_by_id() -> None:
    assert active(once(Draft("b"), Draft("a"), Draft("c"), top_k=2)) == ["a", "b"]


def test_top_k_of_a_side_leaves_room_for_the_other() -> None:
    drafts = [Draft("l1", 0.9), Draft("l2", 0.8), Draft("s1", 0.7, Side.SHORT), Draft("n1", 0.6, Side.NEUTRAL)]
    decision = once(*drafts, text="select: {top_k: 3, top_k_long: 1}")
    assert active(decision) == ["l1", "n1", "s1"]
    assert failed(decision, "l2") == ["select.top_k_long"]


@pytest.mark.parametrize(
    ("key", "rule", "value"),
    [
        ("max_gross", "constraints.max_gross", 2.0),
        ("max_abs_net", "constraints.max_abs_net", 1.5),
        ("max_symbol_weight", "constraints.max_symbol_weight", 1.2),
    ],
)
def test_exposure_beyond_a_limit_keeps_out(key: str, rule: str, value: float) -> None:
    decision = once(Draft("a", risk=RiskFacts(2.0, 1.5, 1.2)), Draft("b"), text=f"constraints: {{{key}: 1.0}}")
    outcome = of(decision, "a").violations[0]
    assert (active(decision), outcome.rule, outcome.value, outcome.limit) == (["b"], rule, value, 1.0)


def test_correlated_strategy_names_the_better_one_and_the_value() -> None:
    decision = once(Draft("a", 0.9, seed=1), Draft("b", 0.8, seed=1), text="constraints: {max_correlation: 0.9}")
    outcome = of(decision, "b").violations[0]
    assert active(decision) == ["a"]
    assert outcome.value == pytest.approx(1.0)
    assert outcome.message.startswith("constraints.max_correlation: correlation with a = 1")


def test_opposite_strategy_is_no_copy() -> None:
    first = candidate(Draft("a", 0.9))
    opposite = replace(first, strategy_id="b", returns=ReturnSeries(first.returns.ts, -first.returns.ret))
    decision = decide(
        Cohort(ROUND_ONE, 252.0, (first, opposite)), policy("constraints: {max_correlation: 0.1}"), RoundState()
    )
    assert active(decision) == ["a", "b"]


def test_unknown_correlation_keeps_out() -> None:
    late = candidate(Draft("b", 0.8))
    late = replace(late, returns=ReturnSeries(days(300, start=290), late.returns.ret))
    decision = decide(
        Cohort(ROUND_ONE, 252.0, (candidate(Draft("a", 0.9)), late)),
        policy("constraints: {max_correlation: 0.9}"),
        RoundState(),
    )
    assert active(decision) == ["a"]
    assert "correlation with a is unknown, needs 20 common bars" in of(decision, "b").violations[0].message


def test_correlation_on_common_bars_agrees_with_numpy() -> None:
    rng = np.random.default_rng(3)
    left = ReturnSeries(days(200), rng.normal(size=200))
    right = ReturnSeries(days(200, start=50), rng.normal(size=200) + np.r_[left.ret[50:], np.zeros(50)])
    assert correlate(left, right) == pytest.approx(np.corrcoef(left.ret[50:], right.ret[:150])[0, 1], rel=1e-12)
    assert np.isnan(correlate(left, ReturnSeries(left.ts, np.full(200, 0.1))))


def rounds(text: str, *cohorts: tuple[Draft, ...], top_k: int = 3) -> list[RoundDecision]:
    compiled, state, decisions = policy(text, top_k), RoundState(), []
    for day, drafts in enumerate(cohorts):
        decisions.append(decide(cohort(*drafts, day=day), compiled, state))
        state = decisions[-1].state
    return decisions


GOOD, BAD, NO_SCORE = (Draft("a"),), (Draft("a", 0.1),), (Draft("a", float("nan")),)


def test_promotion_waits_for_as_many_rounds_in_a_row() -> None:
    decisions = rounds("hysteresis: {promote_after: 2}", GOOD, BAD, GOOD, GOOD)
    assert [active(each) for each in decisions] == [[], [], [], ["a"]]
    outcome = of(decisions[0], "a").violations[0]
    assert outcome.message == "hysteresis.promote_after: rounds chosen = 1, needs >= 2"


def test_deciding_again_in_a_round_counts_nothing() -> None:
    compiled = policy("hysteresis: {promote_after: 2}")
    state = RoundState()
    for _ in range(5):
        decision = decide(cohort(*GOOD), compiled, state)
        state = decision.state
        assert active(decision) == []
    assert active(decide(cohort(*GOOD, day=1), compiled, state)) == ["a"]


def test_deciding_again_replaces_the_round() -> None:
    compiled = policy()
    first = decide(cohort(*GOOD), compiled, RoundState())
    gone = decide(cohort(*BAD, day=1), compiled, first.state)
    back = decide(cohort(*GOOD, day=1), compiled, gone.state)
    assert [active(each) for each in (first, gone, back)] == [["a"], [], ["a"]]
    assert back.state.before == first.state.after


def test_older_snapshot_is_decided_in_the_newest_round() -> None:
    compiled = policy("hysteresis: {promote_after: 2}")
    newest = decide(cohort(*GOOD, day=5), compiled, RoundState())
    assert decide(cohort(*GOOD, day=1), compiled, newest.state).state == newest.state


def test_demotion_waits_for_as_many_rounds_in_a_row() -> None:
    decisions = rounds("hysteresis: {demote_after: 2}", GOOD, BAD, GOOD, BAD, BAD)
    assert [active(each) for each in decisions] == [["a"], ["a"], ["a"], ["a"], []]
    held = next(each for each in of(decisions[1], "a").rules if each.rule == "hysteresis.demote_after")
    assert (held.passed, held.value, held.limit) == (True, 1, 2)
    assert held.message == "hysteresis.demote_after: is held: not chosen in 1 of 2 rounds"


def test_activation_lasts_its_dwell() -> None:
    decisions = rounds("hysteresis: {min_dwell_rounds: 3}", GOOD, BAD, BAD, BAD)
    assert [active(each) for each in decisions] == [["a"], ["a"], ["a"], []]


def test_strategy_without_a_score_or_with_a_finding_is_not_held() -> None:
    text = "hysteresis: {demote_after: 9, min_dwell_rounds: 9}"
    look_ahead = (Draft("a", proof=Proof(ProofState.LOOK_AHEAD)),)
    for then in (NO_SCORE, look_ahead, (Draft("a", has_target=False),)):
        assert [active(each) for each in rounds(text, GOOD, then)] == [["a"], []]


def test_held_strategy_keeps_its_place_before_a_better_new_one() -> None:
    one, both = (Draft("a", 0.7),), (Draft("a", 0.7), Draft("b", 0.9))
    decisions = rounds("hysteresis: {demote_after: 2}", one, both, both, top_k=1)
    assert [active(each) for each in decisions] == [["a"], ["a"], ["b"]]
    assert "beside the strategies that are active already" in of(decisions[1], "b").violations[-1].message


def test_held_strategy_gives_way_to_a_constraint() -> None:
    exposed = (Draft("a", risk=RiskFacts(3.0, 1.0, 1.0)),)
    decisions = rounds("hysteresis: {demote_after: 5}\nconstraints: {max_gross: 2}", GOOD, exposed)
    assert [active(each) for each in decisions] == [["a"], []]


def test_strategy_that_leaves_the_cohort_starts_anew() -> None:
    decisions = rounds("hysteresis: {promote_after: 2}", GOOD, GOOD, (), GOOD)
    assert [active(each) for each in decisions] == [[], ["a"], [], []]


def sharpe(returns: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(252))


def test_contribution_is_the_score_with_minus_without() -> None:
    drafts = (Draft("a", 0.9), Draft("b", 0.8), Draft("c", 0.7))
    decision = once(*drafts, top_k=2)
    a, b, c = (candidate(draft).returns.ret for draft in drafts)
    assert decision.world_score == pytest.approx(sharpe((a + b) / 2))
    assert of(decision, "a").contribution == pytest.approx(sharpe((a + b) / 2) - sharpe(b))
    assert of(decision, "c").contribution == pytest.approx(sharpe((a + b + c) / 3) - sharpe((a + b) / 2))


def test_contribution_to_an_empty_world_is_the_own_sharpe_ratio() -> None:
    decision = once(Draft("a"))
    assert of(decision, "a").contribution == pytest.approx(sharpe(candidate(Draft("a")).returns.ret))


def test_contribution_is_measured_on_the_common_bars() -> None:
    first, second = candidate(Draft("a", 0.9)), candidate(Draft("b", 0.8))
    second = replace(second, returns=ReturnSeries(days(300, start=100), second.returns.ret))
    decision = decide(Cohort(ROUND_ONE, 252.0, (first, second)), policy(), RoundState())
    a, b = first.returns.ret[100:], second.returns.ret[:200]
    assert of(decision, "b").contribution == pytest.approx(sharpe((a + b) / 2) - sharpe(a))


def test_contribution_without_common_bars_is_unknown() -> None:
    first, second = candidate(Draft("a", 0.9)), candidate(Draft("b", 0.8))
    second = replace(second, returns=ReturnSeries(days(300, start=500), second.returns.ret))
    decision = decide(Cohort(ROUND_ONE, 252.0, (first, second)), policy(), RoundState())
    assert (of(decision, "a").contribution, decision.world_score) == (None, None)


def test_harmful_strategy_has_a_negative_contribution() -> None:
    good = candidate(Draft("a", 0.9))
    losing: Candidate = replace(
        candidate(Draft("b", 0.8)), returns=ReturnSeries(good.returns.ts, candidate(Draft("b")).returns.ret - 0.005)
    )
    decision = decide(Cohort(ROUND_ONE, 252.0, (good, losing)), policy(), RoundState())
    contribution = of(decision, "b").contribution
    assert contribution is not None
    assert contribution < 0
