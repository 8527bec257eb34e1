"""Promotion through the gateway: who stands for a strategy, what bars it, what follows a change of policy or world."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from tests.support.cohorts import arrow, days
from tests.support.desk import (
    BARS,
    LATER,
    POLICY,
    STRICT_POLICY,
    Asked,
    Desk,
    evaluate,
    evaluation_request,
    failed_rules,
    listed_evaluations,
    make_world,
    put_policy,
    register_data,
    relayed_set,
    returns,
    submit,
    update_world,
    version_of,
    world_status,
)


def test_a_stricter_policy_demotes_in_the_next_round(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    assert put_policy(desk, world, STRICT_POLICY) == 2
    answer = evaluate(desk, Asked(world, "Other"), returns(seed=2))
    assert (answer.evaluation.status, answer.evaluation.policy_version) == ("invalid", 2)
    status = world_status(desk, world)
    assert (status.epoch, status.sequence) == (3, 6)
    assert not any(each.active for each in status.strategies)
    assert {each.status for each in status.strategies} == {"invalid"}
    assert not status.HasField("score")


def test_a_stricter_policy_ends_what_is_in_force_by_itself(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    put_policy(desk, world, STRICT_POLICY)
    assert list(relayed_set(desk, world, 2).activations) == []


@pytest.mark.parametrize("apply", ["auto", "manual"])
def test_a_lowered_mode_reaches_what_is_in_force_at_once(desk: Desk, apply: str) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    put_policy(desk, world, POLICY + f"apply: {apply}\n")
    update_world(desk, world, mode=execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY)
    (activation,) = relayed_set(desk, world, 2).activations
    assert activation.mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY


def test_live_needs_the_owner_s_consent_and_an_executor_for_it(desk: Desk) -> None:
    world = make_world(desk, mode=execution_pb2.EFFECTIVE_MODE_LIVE)
    assert evaluate(desk, Asked(world)).activation.mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY
    update_world(desk, world, allow_live=True)
    assert relayed_set(desk, world, 1).activations[0].mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY
    assert "no executor is named for the orders of ann/Trend" in world_status(desk, world).waits_for


def test_a_manual_policy_activates_nothing_and_still_lets_go(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    put_policy(desk, world, POLICY + "apply: manual\n")
    assert not evaluate(desk, Asked(world, "Other"), returns(seed=2)).HasField("activation")
    assert [each.strategy_id for each in relayed_set(desk, world, 1).activations] == ["ann/Trend"]
    put_policy(desk, world, STRICT_POLICY + "apply: manual\n")
    assert list(relayed_set(desk, world, 2).activations) == []
    put_policy(desk, world, POLICY)
    assert len(relayed_set(desk, world, 3).activations) == 2


def test_a_cell_of_a_sweep_does_not_stand_for_its_strategy(desk: Desk) -> None:
    world = make_world(desk, POLICY.replace("top_k: 3", "top_k: 1"))
    evaluate(desk, Asked(world))
    cell = evaluate(desk, Asked(world, period=9, mode="compute-only"), returns(mean=-0.002))
    assert "promotion.effective_mode" in failed_rules(cell.evaluation)
    assert cell.evaluation.status == "invalid"
    status = world_status(desk, world)
    assert [(each.strategy_version, each.active) for each in status.strategies] == [(version_of(), True)]


def test_the_cells_of_a_sweep_decide_no_round_and_stand_where_nothing_else_does(desk: Desk) -> None:
    world = make_world(desk)
    for period, mean in ((5, 0.002), (6, -0.002)):
        evaluate(desk, Asked(world, "Swept", period=period, mode="compute-only"), returns(mean))
    status = world_status(desk, world)
    assert (status.trials, status.as_of, status.sequence) == (2, "", 0)
    assert [(each.strategy_version, each.status) for each in status.strategies] == [(version_of(6), "invalid")]
    evaluate(desk, Asked(world, "Other"))
    assert {each.strategy_id: each.active for each in world_status(desk, world).strategies} == {
        "ann/Other": True,
        "ann/Swept": False,
    }
    evaluate(desk, Asked(world, "Swept", period=7))
    evaluate(desk, Asked(world, "Swept", period=8, mode="compute-only"))
    standing = {each.strategy_id: each for each in world_status(desk, world).strategies}
    assert (standing["ann/Swept"].strategy_version, standing["ann/Swept"].active) == (version_of(7), True)


def test_a_cell_is_judged_by_the_rules_and_trials_of_its_world(desk: Desk) -> None:
    gate = 'gates: [{name: few, rule: "sample.trials <= 2"}]\nselect: {top_k: 3}\n'
    world = make_world(desk, gate)
    judged = [
        evaluate(desk, Asked(world, period=period, mode="compute-only"), returns(seed=period)).evaluation
        for period in (5, 6, 6, 7)
    ]
    assert [each.status for each in judged] == ["valid", "valid", "valid", "invalid"]
    stored = {each.eval_key: (each.status, list(each.rules)) for each in listed_evaluations(desk, world)}
    assert [stored[each.eval_key] for each in judged] == [(each.status, list(each.rules)) for each in judged]


def test_a_version_that_may_be_promoted_is_a_trial_of_its_own_judgement_as_a_cell_is(desk: Desk) -> None:
    world = make_world(desk, 'gates: [{name: few, rule: "sample.trials <= 2"}]\nselect: {top_k: 3}\n')
    judged = [
        evaluate(desk, Asked(world, period=period), returns(seed=period)).evaluation.status for period in (5, 6, 6, 7)
    ]
    assert judged == ["valid", "valid", "valid", "invalid"]


def test_a_cross_context_hit_of_a_cell_holds_the_world_too(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world, "Swept", mode="compute-only"), cross_context_cache_hits=1)
    assert not evaluate(desk, Asked(world, "Other")).HasField("activation")


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("promotion.terms", {"bars_per_year": 365.0}),
        ("promotion.terms", {"execution_model": world_pb2.ExecutionModel(fee_bp=5.0)}),
        ("promotion.data_preset", {"data_preset": "elsewhere"}),
        ("promotion.gross_limit", {"sizing_rule": world_pb2.SizingRule(gross_limit=0.01)}),
        ("promotion.share_policy", {"share_policy": world_pb2.SHARE_POLICY_UNSPECIFIED}),
    ],
)
@pytest.mark.parametrize("apply", ["auto", "manual"])
def test_what_a_changed_world_would_not_promote_leaves_with_the_change(
    desk: Desk, rule: str, change: dict[str, Any], apply: str
) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    put_policy(desk, world, POLICY + f"apply: {apply}\n")
    update_world(desk, world, **change)
    assert list(relayed_set(desk, world, 2).activations) == []
    (standing,) = world_status(desk, world).strategies
    assert not standing.active
    assert failed_rules(standing)[0] == rule
    assert set(failed_rules(standing)) <= {rule, "hysteresis.demote_after"}  # another preset's rounds begin anew


def test_two_strategies_at_once_both_stand_in_the_world(desk: Desk) -> None:
    world = make_world(desk)
    names = ["A", "B", "C"]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda name: evaluate(desk, Asked(world, name), returns(seed=ord(name))), names))
    status = world_status(desk, world)
    assert {each.strategy_id for each in status.strategies if each.active} == {"ann/A", "ann/B", "ann/C"}
    assert sum(each.weight for each in status.strategies) == pytest.approx(1.0)
    assert 3 <= status.sequence <= 9
    assert relayed_set(desk, world, status.sequence // 3).epoch == status.epoch


def test_a_new_version_replaces_the_old_one_only_in_a_switch(desk: Desk) -> None:
    world = make_world(desk)
    old = evaluate(desk, Asked(world, period=5))
    worse = evaluate(desk, Asked(world, period=6), returns(-0.002, seed=3))
    assert worse.evaluation.status == "invalid"
    assert worse.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_VALIDATE
    assert worse.activation == old.activation
    (standing,) = world_status(desk, world).strategies
    assert (standing.strategy_version, standing.active) == (old.evaluation.strategy_version, True)
    better = evaluate(desk, Asked(world, period=7), returns(0.003, seed=4))
    assert better.activation.strategy_version == better.evaluation.strategy_version
    assert (better.activation.epoch, better.activation.sequence) == (3, 6)
    assert world_status(desk, world).trials == 3


def test_a_version_that_is_submitted_again_stands_again(desk: Desk) -> None:
    world = make_world(desk)
    first = evaluate(desk, Asked(world, period=5), returns(0.002, seed=5))
    evaluate(desk, Asked(world, period=6), returns(0.003, seed=6))
    again = evaluate(desk, Asked(world, period=5), returns(0.002, seed=5))
    assert again.evaluation.eval_key == first.evaluation.eval_key
    assert again.activation.strategy_version == first.evaluation.strategy_version
    (standing,) = world_status(desk, world).strategies
    assert standing.eval_key == again.evaluation.eval_key
    assert dict(standing.metrics) == dict(again.evaluation.metrics)
    assert next(each.eval_key for each in listed_evaluations(desk, world)) == again.evaluation.eval_key


def test_a_strategy_without_a_snapshot_is_barred_and_begins_no_round(desk: Desk) -> None:
    world = make_world(desk)
    unresolved = submit(desk, Asked(world, as_of="2000-01-01T00:00:00Z"))
    assert unresolved.context.as_of == ""
    answer = desk.evaluations.Evaluate(evaluation_request(unresolved))
    assert {"data.max_behind_days", "promotion.dataset"} <= set(failed_rules(answer.evaluation))
    assert not answer.HasField("activation")
    evaluate(desk, Asked(world, "Pinned"))
    assert world_status(desk, world).as_of == "2013-03-01T21:00:00Z"


def test_hysteresis_counts_snapshots_not_calls(desk: Desk) -> None:
    world = make_world(desk, POLICY + "hysteresis: {promote_after: 2}\n")
    preset = desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world)).world.data_preset
    for _ in range(3):
        answer = evaluate(desk, Asked(world))
        assert failed_rules(answer.evaluation) == ["hysteresis.promote_after"]
    register_data(desk, LATER, preset)
    assert evaluate(desk, Asked(world, as_of=LATER)).activation.active


def test_an_older_snapshot_than_the_newest_is_behind(desk: Desk) -> None:
    world = make_world(desk)
    preset = desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world)).world.data_preset
    register_data(desk, LATER, preset)
    put_policy(desk, world, POLICY + "data: {max_behind_days: 0}\n")
    answer = evaluate(desk, Asked(world))
    assert failed_rules(answer.evaluation) == ["data.max_behind_days"]


def test_nothing_of_a_world_is_promoted_while_a_cross_context_hit_stands(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world), cross_context_cache_hits=1)
    other = evaluate(desk, Asked(world, "Other"), returns(seed=2))
    assert (other.evaluation.status, other.HasField("activation")) == ("valid", False)
    assert evaluate(desk, Asked(world)).activation.active
    assert len(relayed_set(desk, world, 1).activations) == 2


def test_a_world_that_states_no_share_policy_promotes_nothing(desk: Desk) -> None:
    world = make_world(desk, share_policy=world_pb2.SHARE_POLICY_UNSPECIFIED)
    assert failed_rules(evaluate(desk, Asked(world)).evaluation) == ["promotion.share_policy"]


@pytest.mark.parametrize(
    "mode", [0, execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY, execution_pb2.EFFECTIVE_MODE_SHADOW, 99]
)
def test_what_was_computed_below_validation_is_never_promoted(desk: Desk, mode: int) -> None:
    answer = evaluate(desk, Asked(make_world(desk)), effective_mode=mode)
    assert failed_rules(answer.evaluation) == ["promotion.effective_mode"]
    assert not answer.HasField("activation")


def test_another_preset_than_the_world_s_is_evaluated_and_never_promoted(desk: Desk) -> None:
    world, other = make_world(desk), register_data(desk, LATER)
    answer = evaluate(desk, Asked(world, data_preset=other, as_of=LATER))
    assert failed_rules(answer.evaluation) == ["promotion.data_preset"]
    evaluate(desk, Asked(world, "Own"))
    assert world_status(desk, world).as_of == "2013-03-01T21:00:00Z"


def test_a_world_that_goes_back_to_a_preset_of_older_snapshots_begins_its_rounds_anew(desk: Desk) -> None:
    world, other = make_world(desk), register_data(desk, LATER)
    first = desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world)).world.data_preset
    evaluate(desk, Asked(world))
    update_world(desk, world, data_preset=other)
    evaluate(desk, Asked(world, as_of=LATER))
    assert world_status(desk, world).as_of == LATER
    update_world(desk, world, data_preset=first)
    assert world_status(desk, world).as_of == "2013-03-01T21:00:00Z"
    put_policy(desk, world, POLICY + "hysteresis: {promote_after: 2}\n")
    assert not evaluate(desk, Asked(world, "Waits")).activation.active
    assert world_status(desk, world).as_of == "2013-03-01T21:00:00Z"


def test_evaluating_the_version_in_force_without_consequences_leaves_it_in_force(desk: Desk) -> None:
    world, other = make_world(desk), register_data(desk, LATER)
    series = returns()
    evaluate(desk, Asked(world), series)
    evaluate(desk, Asked(world, mode="compute-only"), series)
    evaluate(desk, Asked(world, mode="compute-only"), returns(mean=-0.001))
    evaluate(desk, Asked(world, data_preset=other, as_of=LATER), returns(mean=-0.001))
    (activation,) = relayed_set(desk, world, 1).activations
    assert (activation.strategy_version, activation.sequence) == (version_of(), 3)


def test_more_gross_than_the_world_allows_is_not_promoted(desk: Desk) -> None:
    targets = arrow({"ts": days(BARS)[:1], "symbol": ["AAPL"], "weight": [2.0]})
    answer = evaluate(desk, Asked(make_world(desk)), targets=targets)
    assert failed_rules(answer.evaluation) == ["promotion.gross_limit"]
