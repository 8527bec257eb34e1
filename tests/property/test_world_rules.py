"""What holds for every cohort, every policy, every text: properties of the world's pure rules."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_world.allocation.weights import Share, Weighting, WeightRules, weigh
from qmtl_world.evaluation.correlation import correlate
from qmtl_world.evaluation.model import (
    Candidate,
    Cohort,
    DataFacts,
    EvaluationTask,
    Proof,
    ProofState,
    RiskFacts,
    RoundDecision,
    RoundState,
    Side,
    Status,
)
from qmtl_world.evaluation.policy import CompiledPolicy, parse_policy
from qmtl_world.evaluation.selection import decide
from qmtl_world.evaluation.worker import evaluate_series
from tests.support.cohorts import Draft, arrow, candidate, cohort, days, policy

MAX_CORRELATION = 0.9
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)

drafts = st.builds(
    Draft,
    strategy_id=st.sampled_from([f"s{i}" for i in range(9)]),
    sharpe=st.one_of(st.sampled_from([0.4, 0.6, 0.9, 1.2, math.nan, math.inf]), st.floats(-2, 3)),
    side=st.sampled_from(Side),
    seed=st.integers(0, 4),  # few, so that some strategies are copies of others
    bars=st.sampled_from([40, 300]),
    proof=st.sampled_from([Proof(ProofState.PROVEN)] * 4 + [Proof(ProofState.LOOK_AHEAD), Proof(ProofState.MISSING)]),
    has_target=st.sampled_from([True, True, True, False]),
    data=st.sampled_from([DataFacts(), DataFacts(), DataFacts(behind_days=1.0)]),
    risk=st.sampled_from([RiskFacts(1.0, 1.0, 0.5), RiskFacts(3.0, 1.0, 0.5)]),
    volatility=st.sampled_from([0.1, 0.3, math.nan, 0.0]),
)
cohorts = st.lists(drafts, max_size=9, unique_by=lambda draft: draft.strategy_id)
limits = st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
hysteresis = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
histories = st.lists(st.tuples(st.booleans(), cohorts), min_size=1, max_size=6)


@st.composite
def policies(draw: st.DrawFn) -> CompiledPolicy:
    top_k, top_long, top_short = draw(limits)
    promote, demote, dwell = draw(hysteresis)
    method = draw(st.sampled_from(Weighting)).value
    return policy(
        f"select: {{top_k: {top_k}, top_k_long: {top_long}, top_k_short: {top_short}}}\n"
        f"hysteresis: {{promote_after: {promote}, demote_after: {demote}, min_dwell_rounds: {dwell}}}\n"
        f"constraints: {{max_correlation: {MAX_CORRELATION}, max_gross: 2}}\n"
        f"weights: {{method: {method}, max_weight: 0.4}}\n"
    )


def refusal(work: Callable[[], object]) -> QmtlError | None:
    """Return how QMTL refuses the work, None when it does it; any other exception is a fault."""
    try:
        work()
    except QmtlError as error:
        return error
    return None


def play(compiled: CompiledPolicy, history: list[tuple[bool, list[Draft]]]) -> list[tuple[Cohort, RoundDecision]]:
    """Decide a history of cohorts; each says whether it opens a new round."""
    state, day, played = RoundState(), 0, []
    for opens, members in history:
        day += opens
        entered = cohort(*members, day=day)
        decision = decide(entered, compiled, state)
        played.append((entered, decision))
        state = decision.state
    return played


def active_of(entered: Cohort, decision: RoundDecision) -> list[Candidate]:
    ids = {each.strategy_id for each in decision.strategies if each.active}
    return [member for member in entered.candidates if member.strategy_id in ids]


@given(policies(), histories)
@settings(max_examples=60, deadline=None)
def test_active_set_obeys_every_limit_in_every_round(
    compiled: CompiledPolicy, history: list[tuple[bool, list[Draft]]]
) -> None:
    select = compiled.policy.select
    for entered, decision in play(compiled, history):
        members = active_of(entered, decision)
        sides = [member.side for member in members]
        assert len(members) <= select.top_k
        assert sides.count(Side.LONG) <= (select.top_k_long or 0)
        assert sides.count(Side.SHORT) <= (select.top_k_short or 0)
        assert all(member.facts.risk.max_gross <= 2 for member in members)
        assert all(member.has_target and member.proof.state is ProofState.PROVEN for member in members)
        for i, left in enumerate(members):
            assert all(correlate(left.returns, right.returns) <= MAX_CORRELATION for right in members[:i])
        for each in decision.strategies:
            assert (each.weight == 0.0) or each.active
            assert 0.0 <= each.weight <= 0.4
            assert not each.active or (each.score is not None and math.isfinite(each.score))
        assert math.fsum(each.weight for each in decision.strategies) <= 1.0


@given(policies(), histories, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_the_cohort_does_not_matter(
    compiled: CompiledPolicy, history: list[tuple[bool, list[Draft]]], shuffler: random.Random
) -> None:
    shuffled = [(opens, shuffler.sample(members, len(members))) for opens, members in history]
    for (_, left), (_, right) in zip(play(compiled, history), play(compiled, shuffled), strict=True):
        assert left == right


@given(policies(), cohorts)
@settings(max_examples=40, deadline=None)
def test_strategy_that_fails_by_itself_changes_nothing_for_others(
    compiled: CompiledPolicy, members: list[Draft]
) -> None:
    entered = cohort(*members)
    whole = decide(entered, compiled, RoundState())
    valid = {each.strategy_id for each in whole.strategies if each.status is Status.VALID}
    fewer = replace(entered, candidates=tuple(each for each in entered.candidates if each.strategy_id in valid))
    alone = decide(fewer, compiled, RoundState())
    assert [each for each in whole.strategies if each.strategy_id in valid] == list(alone.strategies)
    assert whole.world_score == alone.world_score


@given(policies(), histories, cohorts)
@settings(max_examples=40, deadline=None)
def test_deciding_twice_in_a_round_changes_nothing(
    compiled: CompiledPolicy, history: list[tuple[bool, list[Draft]]], members: list[Draft]
) -> None:
    state = play(compiled, history)[-1][1].state
    entered = cohort(*members, day=100)
    first = decide(entered, compiled, state)
    assert decide(entered, compiled, first.state) == first
    between = decide(cohort(day=100), compiled, first.state)
    assert decide(entered, compiled, between.state) == first


@given(st.lists(st.builds(Share, NUMBERS, NUMBERS), max_size=12), st.sampled_from(Weighting), st.floats(1e-3, 1.0))
def test_weights_are_fractions_within_the_cap_and_sum_to_at_most_one(
    shares: list[Share], method: Weighting, cap: float
) -> None:
    weights = weigh(shares, WeightRules(method, cap))
    assert len(weights) == len(shares)
    assert all(0.0 <= weight <= cap for weight in weights)
    assert math.fsum(weights) <= 1.0
    if method is Weighting.EQUAL and shares:
        assert math.isclose(math.fsum(weights), min(1.0, cap * len(shares)), rel_tol=1e-9)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_policy_or_a_refusal(content: bytes) -> None:
    refused = refusal(lambda: parse_policy(content))
    assert refused is None or (refused.reason is Reason.INVALID_POLICY and refused.violations)


RULE_PARTS = ["metrics.sharpe", "metrics.nope", "sample.bars", "1.0", "3", "'x'", ">", "<=", "&&", "||", "!", "(", ")"]


@given(
    st.lists(
        st.sampled_from([*RULE_PARTS, "?", ":", "[", "]", "{", "}", "/", "%", "-", "null", "has", ".all"]), max_size=12
    )
)
def test_any_rule_is_compiled_or_refused(parts: list[str]) -> None:
    text = " ".join(parts).replace("'", "''")
    gates = f"gates: [{{name: a, rule: '{text}'}}]\n"
    refused = refusal(lambda: parse_policy(f"{gates}select: {{top_k: 1}}\n".encode()))
    if refused is None:
        decide(cohort(Draft("a")), policy(gates), RoundState())
    else:
        assert {violation.field for violation in refused.violations} == {"gates[0].rule"}


STREAM = arrow({"ts": days(30), "return": [0.01] * 30})
PACKED = arrow({"ts": days(30), "return": [0.01] * 30}, compression="zstd")


@given(
    st.sampled_from([STREAM, PACKED]),
    st.lists(st.tuples(st.integers(0, len(PACKED) - 1), st.integers(0, 255)), max_size=5),
    st.integers(0, 40),
)
@settings(deadline=None)
def test_damaged_stream_is_read_or_refused(stream: bytes, damage: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(stream[: len(stream) - cut])
    for at, value in damage:
        content[at % len(content)] = value
    refused = refusal(lambda: evaluate_series(EvaluationTask(bytes(content), b"", b"", 252.0)))
    if refused is not None:
        assert refused.reason is Reason.INVALID_SERIES
        assert refused.metadata["field"].startswith("returns")


def test_candidates_of_the_tests_are_alike_only_by_seed() -> None:
    first, copy, other = (candidate(Draft("a", seed=seed)).returns for seed in (1, 1, 2))
    assert correlate(first, copy) > MAX_CORRELATION > correlate(first, other)
