"""Evaluations through the gateway: what is measured, who is activated, what is done once, which terms are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest

from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2 as pb
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from qmtl_sdk.local.progress import ProcessStatus
from tests.support.cohorts import arrow, days
from tests.support.desk import (
    BARS,
    CALL_SECONDS,
    LATER,
    POLICY,
    STRICT_POLICY,
    Asked,
    Desk,
    evaluate,
    evaluation_request,
    make_world,
    metrics,
    put_policy,
    refusal,
    register_data,
    relayed_set,
    request_id,
    returns,
    submit,
    version_of,
    world_status,
)
from tests.support.waiting import wait_until

OTHER_ID = "blake3:" + "cd" * 32
REFUSE_COMMIT = """
CREATE FUNCTION world.refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit'; END $$;
CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON world.request DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.request_id = '{request_id}') EXECUTE FUNCTION world.refuse_commit()
"""


def failed_rules(judged: evaluation_pb2.Evaluation | world_pb2.StrategyStatus) -> list[str]:
    return [each.rule for each in judged.rules if not each.passed]


def update_world(desk: Desk, world: str, **change: Any) -> None:
    stated = desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world)).world
    for name in change:
        stated.ClearField(name)
    stated.MergeFrom(world_pb2.World(**change))
    desk.worlds.UpdateWorld(world_service_pb2.UpdateWorldRequest(request_id=request_id(), world=stated))


def evaluations(desk: Desk, world: str) -> list[evaluation_pb2.Evaluation]:
    return list(desk.evaluations.ListEvaluations(pb.ListEvaluationsRequest(world=world)).evaluations)


def test_a_good_strategy_is_activated_and_every_view_of_the_world_agrees(desk: Desk) -> None:
    world = make_world(desk)
    answer = evaluate(desk, Asked(world))
    evaluation, activation = answer.evaluation, answer.activation
    assert (evaluation.status, failed_rules(evaluation)) == ("valid", [])
    assert evaluation.metrics["sharpe"] == pytest.approx(
        np.sqrt(252.0) * returns().mean() / returns().std(ddof=1), rel=1e-12
    )
    assert (activation.active, activation.weight, activation.epoch, activation.sequence) == (True, 1.0, 1, 1)
    assert answer.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
    assert [(each.strategy_id, each.weight) for each in answer.allocations.strategies] == [("ann/Trend", 1.0)]
    status = world_status(desk, world)
    (standing,) = status.strategies
    assert (standing.active, standing.weight, standing.eval_key) == (True, 1.0, evaluation.eval_key)
    assert dict(standing.metrics) == dict(evaluation.metrics)
    assert list(standing.rules) == list(evaluation.rules)
    assert (standing.score, standing.contribution) == (evaluation.score, evaluation.contribution)
    assert (status.epoch, status.sequence, status.trials, status.as_of) == (1, 1, 1, "2013-03-01T21:00:00Z")
    assert list(relayed_set(desk, world, 1).activations) == [activation]
    request = allocation_service_pb2.GetAllocationsRequest(world=world)
    assert desk.allocations.GetAllocations(request).allocations == answer.allocations
    request = pb.GetEvaluationRequest(world=world, eval_key=evaluation.eval_key)
    stored = desk.evaluations.GetEvaluation(request).evaluation
    assert (stored.status, dict(stored.metrics), list(stored.rules)) == (
        "valid",
        dict(evaluation.metrics),
        list(evaluation.rules),
    )


def test_the_same_request_is_one_evaluation_and_one_sequence_step(desk: Desk) -> None:
    world = make_world(desk)
    request = evaluation_request(submit(desk, Asked(world)))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: desk.evaluations.Evaluate(request, timeout=CALL_SECONDS), range(8)))
    for answer in answers:
        assert answer.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
        answer.ClearField("decision")  # taken anew with each answer
    assert all(answer == answers[0] for answer in answers)
    assert len(evaluations(desk, world)) == 1
    assert world_status(desk, world).sequence == 1
    request.code_version = "2.0.0"
    assert refusal(lambda: desk.evaluations.Evaluate(request)).reason == "REQUEST_ID_REUSED"


def test_an_unchanged_set_takes_no_sequence(desk: Desk) -> None:
    world = make_world(desk)
    first = evaluate(desk, Asked(world))
    again = evaluate(desk, Asked(world))
    assert again.activation == first.activation
    evaluate(desk, Asked(world, "Flat"), returns(-0.002, seed=2))
    assert world_status(desk, world).sequence == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy_version", OTHER_ID),
        ("as_of", LATER),
        ("as_of", ""),
        ("dataset_fingerprint", OTHER_ID),
        ("dataset_fingerprint", ""),
        ("execution_model", world_pb2.ExecutionModel(fee_bp=5.0)),
    ],
)
def test_terms_other_than_the_bound_ones_are_refused_by_name(desk: Desk, field: str, value: Any) -> None:
    world = make_world(desk)
    request = evaluation_request(submit(desk, Asked(world)), **{field: value})
    found = refusal(lambda: desk.evaluations.Evaluate(request))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BINDING_MISMATCH")
    assert found.metadata["field"] == field
    assert found.metadata["expected"] != found.metadata["given"]
    assert evaluations(desk, world) == []


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("returns", {"returns": b"no arrow"}),
        ("returns", {"returns": arrow({"ts": days(0), "return": np.zeros(0)})}),
        ("returns.return", {"returns": arrow({"ts": days(3), "return": [0.1, float("nan"), 0.1]})}),
        ("returns.return", {"returns": arrow({"ts": days(3), "return": [0.1, float("inf"), 0.1]})}),
        ("returns.return", {"returns": arrow({"ts": days(2), "return": [0.1, -1.5]})}),
        ("returns.ts", {"returns": arrow({"ts": days(3)[::-1], "return": [0.1, 0.1, 0.1]})}),
        ("returns.ts", {"returns": arrow({"ts": days(2)[[0, 0]], "return": [0.1, 0.1]})}),
    ],
)
def test_a_bad_series_is_refused_and_nothing_is_stored(desk: Desk, field: str, fields: dict[str, bytes]) -> None:
    world = make_world(desk)
    request = evaluation_request(submit(desk, Asked(world)), **fields)
    found = refusal(lambda: desk.evaluations.Evaluate(request))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SERIES")
    assert found.fields == (field,)
    assert evaluations(desk, world) == []
    assert world_status(desk, world).trials == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"cross_context_cache_hits": -1},
        {"code_version": "x" * 81},
        {"strategy_id": "nobody"},
        {"strategy_version": "nonsense"},
        {"as_of": "yesterday"},
        {"as_of": "0001-01-01T00:00:00+23:00"},
        {"request_id": ""},
    ],
)
def test_a_bad_field_of_an_evaluation_is_named(desk: Desk, fields: dict[str, Any]) -> None:
    request = evaluation_request(submit(desk, Asked(make_world(desk))), **fields)
    found = refusal(lambda: desk.evaluations.Evaluate(request))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert found.fields == tuple(fields)


def test_returns_alone_are_evaluated_and_never_activated(desk: Desk) -> None:
    world = make_world(desk)
    unproven = evaluation_pb2.ProofReport(status=evaluation_pb2.PROOF_STATUS_UNPROVEN)
    answer = evaluate(desk, Asked(world), targets=b"", proofs=unproven)
    assert answer.evaluation.status == "valid"
    assert failed_rules(answer.evaluation) == ["no_target"]
    assert not answer.HasField("activation")
    assert world_status(desk, world).sequence == 0


def test_missing_proofs_reject(desk: Desk) -> None:
    for report in (evaluation_pb2.ProofReport(), evaluation_pb2.ProofReport(status=99)):
        answer = evaluate(desk, Asked(make_world(desk)), proofs=report)
        assert answer.evaluation.status == "rejected"
        assert failed_rules(answer.evaluation) == ["unproven"]
        assert not answer.HasField("activation")


@pytest.mark.parametrize("kind", ["look_ahead", "warm_up_too_short", "not_resumable", "not_deterministic"])
def test_a_finding_rejects_even_beside_a_status_that_says_passed(desk: Desk, kind: str) -> None:
    finding = evaluation_pb2.ProofFinding(kind=kind, node="x\0", bar="2004-08-19T20:00:00Z", message="peek sees\nlater")
    report = evaluation_pb2.ProofReport(status=evaluation_pb2.PROOF_STATUS_PASSED, findings=[finding])
    answer = evaluate(desk, Asked(make_world(desk)), proofs=report)
    assert answer.evaluation.status == "rejected"
    assert failed_rules(answer.evaluation) == [kind]
    assert "peek sees later" in next(each.message for each in answer.evaluation.rules if each.rule == kind)


def test_without_an_active_policy_nothing_is_evaluated(desk: Desk) -> None:
    world = make_world(desk, policy="")
    submission = submit(desk, Asked(world))
    assert submission.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY
    found = refusal(lambda: desk.evaluations.Evaluate(evaluation_request(submission)))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_ACTIVE_POLICY")


def test_a_stricter_policy_demotes_in_the_next_round(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    assert put_policy(desk, world, STRICT_POLICY) == 2
    answer = evaluate(desk, Asked(world, "Other"), returns(seed=2))
    assert (answer.evaluation.status, answer.evaluation.policy_version) == ("invalid", 2)
    status = world_status(desk, world)
    assert (status.epoch, status.sequence) == (2, 2)
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


def test_no_evaluation_puts_anything_live(desk: Desk) -> None:
    world = make_world(desk, mode=execution_pb2.EFFECTIVE_MODE_LIVE, allow_live=True)
    assert evaluate(desk, Asked(world)).activation.mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY


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
    stored = {each.eval_key: (each.status, list(each.rules)) for each in evaluations(desk, world)}
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


def test_a_runner_cannot_raise_the_mode_that_was_bound(desk: Desk) -> None:
    world = make_world(desk)
    raised = evaluate(desk, Asked(world, mode="compute-only"), effective_mode=execution_pb2.EFFECTIVE_MODE_LIVE)
    assert failed_rules(raised.evaluation) == ["promotion.effective_mode"]


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
    assert (standing.active, failed_rules(standing)) == (False, [rule])


def test_two_strategies_at_once_both_stand_in_the_world(desk: Desk) -> None:
    world = make_world(desk)
    names = ["A", "B", "C"]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda name: evaluate(desk, Asked(world, name), returns(seed=ord(name))), names))
    status = world_status(desk, world)
    assert {each.strategy_id for each in status.strategies if each.active} == {"ann/A", "ann/B", "ann/C"}
    assert sum(each.weight for each in status.strategies) == pytest.approx(1.0)
    assert 1 <= status.sequence <= 3
    assert relayed_set(desk, world, status.sequence).epoch == status.epoch


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
    assert (better.activation.epoch, better.activation.sequence) == (2, 2)
    assert world_status(desk, world).trials == 3


def test_two_authors_of_equal_code_and_returns_are_two_strategies(desk: Desk) -> None:
    world = make_world(desk)
    first, second = evaluate(desk, Asked(world, "Mine")), evaluate(desk, Asked(world, "Yours"))
    assert first.evaluation.eval_key == second.evaluation.eval_key
    assert {each.strategy_id for each in second.allocations.strategies} == {"ann/Mine", "ann/Yours"}
    assert [each.strategy_id for each in evaluations(desk, world)] == ["ann/Yours", "ann/Mine"]


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
    assert next(each.eval_key for each in evaluations(desk, world)) == again.evaluation.eval_key


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


def test_cross_context_hits_are_counted_and_bar_promotion(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    address = parts["world"].metrics_address
    before = metrics(address)["cross_context_cache_hit_total"]
    answer = evaluate(desk, Asked(make_world(desk)), cross_context_cache_hits=2)
    assert failed_rules(answer.evaluation) == ["promotion.cross_context_hits"]
    wait_until(lambda: metrics(address)["cross_context_cache_hit_total"] == before + 2)


async def test_hits_of_an_evaluation_that_did_not_commit_are_not_counted(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    request = evaluation_request(submit(desk, Asked(make_world(desk))), cross_context_cache_hits=2)
    before = metrics(parts["world"].metrics_address)["cross_context_cache_hit_total"]
    connection = await asyncpg.connect(parts["postgres"].address)
    await connection.execute(REFUSE_COMMIT.format(request_id=request.request_id))
    try:
        assert refusal(lambda: desk.evaluations.Evaluate(request)).reason == "INTERNAL"
    finally:
        await connection.execute("DROP FUNCTION world.refuse_commit CASCADE")
        await connection.close()
    for _ in range(2):
        desk.evaluations.Evaluate(request)
    assert metrics(parts["world"].metrics_address)["cross_context_cache_hit_total"] == before + 2


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


def test_evaluations_are_listed_newest_first_in_pages(desk: Desk) -> None:
    world = make_world(desk)
    keys = [evaluate(desk, Asked(world, period=period)).evaluation.eval_key for period in (2, 3, 4)]
    first = desk.evaluations.ListEvaluations(pb.ListEvaluationsRequest(world=world, page_size=2))
    rest = desk.evaluations.ListEvaluations(
        pb.ListEvaluationsRequest(world=world, page_size=2, page_token=first.next_page_token)
    )
    assert [each.eval_key for each in (*first.evaluations, *rest.evaluations)] == keys[::-1]
    assert rest.next_page_token == ""
    none = desk.evaluations.ListEvaluations(pb.ListEvaluationsRequest(world=world, strategy_id="ann/Nobody"))
    assert list(none.evaluations) == []


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    world = make_world(desk)
    request = pb.GetEvaluationRequest(world=world, eval_key=OTHER_ID)
    assert refusal(lambda: desk.evaluations.GetEvaluation(request)).code is grpc.StatusCode.NOT_FOUND
    decision = world_service_pb2.GetDecisionRequest(world=world, strategy_id="ann/Nobody", strategy_version=OTHER_ID)
    assert refusal(lambda: desk.worlds.GetDecision(decision)).reason == "STRATEGY_NOT_FOUND"
    unbound = evaluation_request(submit(desk, Asked(world)), strategy_id="ann/Nobody", request_id=request_id())
    assert refusal(lambda: desk.evaluations.Evaluate(unbound)).reason == "STRATEGY_NOT_FOUND"


def test_evaluating_the_version_in_force_without_consequences_leaves_it_in_force(desk: Desk) -> None:
    world, other = make_world(desk), register_data(desk, LATER)
    series = returns()
    evaluate(desk, Asked(world), series)
    evaluate(desk, Asked(world, mode="compute-only"), series)
    evaluate(desk, Asked(world, mode="compute-only"), returns(mean=-0.001))
    evaluate(desk, Asked(world, data_preset=other, as_of=LATER), returns(mean=-0.001))
    (activation,) = relayed_set(desk, world, 1).activations
    assert (activation.strategy_version, activation.sequence) == (version_of(), 1)


def test_a_submission_that_is_never_evaluated_is_no_trial(desk: Desk) -> None:
    world = make_world(desk)
    submit(desk, Asked(world, period=7))
    evaluate(desk, Asked(world))
    assert world_status(desk, world).trials == 1


@pytest.mark.parametrize("coverage", [0.0, float("nan"), 7.0])
def test_a_proof_of_nothing_proves_nothing(desk: Desk, coverage: float) -> None:
    proofs = evaluation_pb2.ProofReport(status=evaluation_pb2.PROOF_STATUS_PASSED, coverage=coverage)
    answer = evaluate(desk, Asked(make_world(desk)), proofs=proofs)
    assert (answer.evaluation.status, failed_rules(answer.evaluation)) == ("rejected", ["unproven"])


def test_more_gross_than_the_world_allows_is_not_promoted(desk: Desk) -> None:
    targets = arrow({"ts": days(BARS)[:1], "symbol": ["AAPL"], "weight": [2.0]})
    answer = evaluate(desk, Asked(make_world(desk)), targets=targets)
    assert failed_rules(answer.evaluation) == ["promotion.gross_limit"]
