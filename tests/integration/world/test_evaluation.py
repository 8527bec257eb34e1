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
    CALL_SECONDS,
    LATER,
    Asked,
    Desk,
    evaluate,
    evaluation_request,
    failed_rules,
    listed_evaluations,
    make_world,
    metrics,
    refusal,
    relayed_set,
    request_id,
    returns,
    submit,
    world_status,
)
from tests.support.waiting import wait_until

OTHER_ID = "blake3:" + "cd" * 32
REFUSE_COMMIT = """
CREATE FUNCTION world.refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit'; END $$;
CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON world.request DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.request_id = '{request_id}') EXECUTE FUNCTION world.refuse_commit()
"""


def test_a_good_strategy_is_activated_and_every_view_of_the_world_agrees(desk: Desk) -> None:
    world = make_world(desk)
    answer = evaluate(desk, Asked(world))
    evaluation, activation = answer.evaluation, answer.activation
    assert (evaluation.status, failed_rules(evaluation)) == ("valid", [])
    assert evaluation.metrics["sharpe"] == pytest.approx(
        np.sqrt(252.0) * returns().mean() / returns().std(ddof=1), rel=1e-12
    )
    assert (activation.active, activation.weight, activation.epoch, activation.sequence) == (True, 1.0, 2, 3)
    assert answer.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
    assert [(each.strategy_id, each.weight) for each in answer.allocations.strategies] == [("ann/Trend", 1.0)]
    status = world_status(desk, world)
    (standing,) = status.strategies
    assert (standing.active, standing.weight, standing.eval_key) == (True, 1.0, evaluation.eval_key)
    assert dict(standing.metrics) == dict(evaluation.metrics)
    assert list(standing.rules) == list(evaluation.rules)
    assert (standing.score, standing.contribution) == (evaluation.score, evaluation.contribution)
    assert (status.epoch, status.sequence, status.trials, status.as_of) == (2, 3, 1, "2013-03-01T21:00:00Z")
    assert list(relayed_set(desk, world, 1).activations) == [activation]
    request = allocation_service_pb2.GetAllocationsRequest(world=world)
    assert desk.allocations.GetAllocations(request).allocations == answer.allocations
    asked = pb.GetEvaluationRequest(world=world, eval_key=evaluation.eval_key)
    stored = desk.evaluations.GetEvaluation(asked).evaluation
    assert (stored.status, dict(stored.metrics), list(stored.rules)) == (
        "valid",
        dict(evaluation.metrics),
        list(evaluation.rules),
    )


def test_the_same_request_is_one_evaluation_and_one_run(desk: Desk) -> None:
    world = make_world(desk)
    request = evaluation_request(submit(desk, Asked(world)))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: desk.evaluations.Evaluate(request, timeout=CALL_SECONDS), range(8)))
    for answer in answers:
        assert answer.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
        answer.ClearField("decision")  # taken anew with each answer
    assert all(answer == answers[0] for answer in answers)
    assert len(listed_evaluations(desk, world)) == 1
    assert world_status(desk, world).sequence == 3
    request.code_version = "2.0.0"
    assert refusal(lambda: desk.evaluations.Evaluate(request)).reason == "REQUEST_ID_REUSED"


def test_an_unchanged_set_takes_no_run(desk: Desk) -> None:
    world = make_world(desk)
    first = evaluate(desk, Asked(world))
    again = evaluate(desk, Asked(world))
    assert again.activation == first.activation
    evaluate(desk, Asked(world, "Flat"), returns(-0.002, seed=2))
    assert world_status(desk, world).sequence == 3


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
    assert listed_evaluations(desk, world) == []


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
def test_a_bad_series_is_refused_and_nothing_is_stored(desk: Desk, field: str, fields: dict[str, Any]) -> None:
    world = make_world(desk)
    request = evaluation_request(submit(desk, Asked(world)), **fields)
    found = refusal(lambda: desk.evaluations.Evaluate(request))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SERIES")
    assert found.fields == (field,)
    assert listed_evaluations(desk, world) == []
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
    unknown = evaluation_pb2.ProofReport(status=99)  # type: ignore[arg-type]  # none of this release
    for report in (evaluation_pb2.ProofReport(), unknown):
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


def test_a_runner_cannot_raise_the_mode_that_was_bound(desk: Desk) -> None:
    world = make_world(desk)
    raised = evaluate(desk, Asked(world, mode="compute-only"), effective_mode=execution_pb2.EFFECTIVE_MODE_LIVE)
    assert failed_rules(raised.evaluation) == ["promotion.effective_mode"]


def test_two_authors_of_equal_code_and_returns_are_two_strategies(desk: Desk) -> None:
    world = make_world(desk)
    first, second = evaluate(desk, Asked(world, "Mine")), evaluate(desk, Asked(world, "Yours"))
    assert first.evaluation.eval_key == second.evaluation.eval_key
    assert {each.strategy_id for each in second.allocations.strategies} == {"ann/Mine", "ann/Yours"}
    assert [each.strategy_id for each in listed_evaluations(desk, world)] == ["ann/Yours", "ann/Mine"]


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
