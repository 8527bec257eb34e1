"""Worlds and policies through the gateway: create, change, list, delete, and that a refusal changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import asyncpg
import grpc
import pytest

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2 as pb
from qmtl_sdk.local.progress import ProcessStatus
from tests.support.desk import (
    POLICY,
    STRICT_POLICY,
    Asked,
    Desk,
    evaluate,
    evaluation_request,
    fresh,
    make_world,
    put_policy,
    refusal,
    request_id,
    returns,
    submit,
    world_message,
    world_status,
)

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass($1)"


def create(desk: Desk, world: world_pb2.World, **fields: Any) -> world_pb2.World:
    return desk.worlds.CreateWorld(pb.CreateWorldRequest(request_id=request_id(), world=world, **fields)).world


def read(desk: Desk, name: str) -> world_pb2.World:
    return desk.worlds.GetWorld(pb.GetWorldRequest(world=name)).world


def update(desk: Desk, world: world_pb2.World, **fields: Any) -> world_pb2.World:
    return desk.worlds.UpdateWorld(pb.UpdateWorldRequest(request_id=request_id(), world=world, **fields)).world


def delete(desk: Desk, name: str) -> None:
    request = pb.DeleteWorldRequest(request_id=request_id(), world=name, etag=read(desk, name).etag)
    desk.worlds.DeleteWorld(request)


def upload(desk: Desk, world: str, yaml: str, **fields: Any) -> world_pb2.Policy:
    request = pb.UploadPolicyRequest(request_id=request_id(), world=world, yaml=yaml, **fields)
    return desk.worlds.UploadPolicy(request).policy


def policies(desk: Desk, world: str) -> list[world_pb2.Policy]:
    return list(desk.worlds.ListPolicies(pb.ListPoliciesRequest(world=world)).policies)


def test_a_world_is_read_as_it_was_made_with_the_defaults_stated(desk: Desk) -> None:
    name = fresh("some_world")
    made = create(desk, world_pb2.World(name=name, data_preset="daily", bars_per_year=252.0, description="한국 desk"))
    assert read(desk, name) == made
    assert made.description == "한국 desk"
    assert made.mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY
    assert made.execution_model == world_pb2.ExecutionModel(
        fill=world_pb2.FILL_NEXT_OPEN, rebalance=world_pb2.REBALANCE_ON_CHANGE, initial_cash=1_000_000.0
    )
    assert made.sizing_rule == world_pb2.SizingRule(sizing=world_pb2.SIZING_LONG_ONLY, gross_limit=1.0)
    assert (made.decision_ttl_s, made.allow_live, made.active_policy_version) == (300, False, 0)


def test_the_same_request_id_has_the_same_answer_and_another_request_under_it_is_refused(desk: Desk) -> None:
    request = pb.CreateWorldRequest(request_id=request_id(), world=world_message(fresh("some_world")))
    first = desk.worlds.CreateWorld(request)
    assert desk.worlds.CreateWorld(request) == first
    request.world.description = "another"
    found = refusal(lambda: desk.worlds.CreateWorld(request))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    request.request_id = request_id()
    found = refusal(lambda: desk.worlds.CreateWorld(request))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "WORLD_EXISTS")
    assert read(desk, first.world.name) == first.world


def test_validate_only_answers_as_if_and_stores_nothing(desk: Desk) -> None:
    name = fresh("some_world")
    planned = create(desk, world_message(name), validate_only=True)
    assert planned.name == name
    assert planned.etag
    assert refusal(lambda: read(desk, name)).reason == "WORLD_NOT_FOUND"
    made = create(desk, world_message(name))
    assert refusal(lambda: create(desk, world_message(name), validate_only=True)).reason == "WORLD_EXISTS"
    changed = world_pb2.World()
    changed.CopyFrom(made)
    changed.description = "changed"
    assert update(desk, changed, validate_only=True).description == "changed"
    assert read(desk, name) == made
    assert upload(desk, name, POLICY, validate_only=True).version == 0
    assert policies(desk, name) == []


def test_a_change_from_a_stale_etag_is_aborted_and_changes_nothing(desk: Desk) -> None:
    made = create(desk, world_message(fresh("some_world")))
    changed = world_pb2.World()
    changed.CopyFrom(made)
    changed.description = "first"
    second = update(desk, changed)
    assert second.etag != made.etag
    changed.description = "second"
    found = refusal(lambda: update(desk, changed))
    assert (found.code, found.reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
    assert found.metadata == {"expected": second.etag, "given": made.etag}
    assert read(desk, made.name) == second


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("world.name", {"name": "Upper"}),
        ("world.name", {"name": ""}),
        ("world.data_preset", {"data_preset": "no preset"}),
        ("world.description", {"description": "x" * 201}),
        ("world.description", {"description": "two\nlines"}),
        ("world.description", {"description": "nul\0"}),
        ("world.bars_per_year", {"bars_per_year": 0.0}),
        ("world.bars_per_year", {"bars_per_year": 5e-324}),
        ("world.bars_per_year", {"bars_per_year": 1e12}),
        ("world.bars_per_year", {"bars_per_year": float("nan")}),
        ("world.bars_per_year", {"bars_per_year": float("inf")}),
        ("world.mode", {"mode": execution_pb2.EFFECTIVE_MODE_SHADOW}),
        ("world.mode", {"mode": 99}),
        ("world.share_policy", {"share_policy": 99}),
        ("world.decision_ttl_s", {"decision_ttl_s": -1}),
        ("world.decision_ttl_s", {"decision_ttl_s": 86_401}),
        ("world.execution_model.fill", {"execution_model": world_pb2.ExecutionModel(fill=99)}),  # type: ignore[arg-type]  # no fill
        ("world.execution_model.fee_bp", {"execution_model": world_pb2.ExecutionModel(fee_bp=-1.0)}),
        ("world.sizing_rule.gross_limit", {"sizing_rule": world_pb2.SizingRule(gross_limit=11.0)}),
    ],
)
def test_a_bad_field_of_a_world_is_named(desk: Desk, field: str, fields: dict[str, Any]) -> None:
    stated = {"name": fresh("some_world"), "data_preset": "daily", "bars_per_year": 252.0, **fields}
    found = refusal(lambda: create(desk, world_pb2.World(**stated)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert found.fields == (field,)


def test_worlds_are_listed_by_name_in_pages_that_miss_none(desk: Desk) -> None:
    made = {create(desk, world_message(fresh("paged"))).name for _ in range(5)}
    seen: list[str] = []
    token = ""
    while True:
        page = desk.worlds.ListWorlds(pb.ListWorldsRequest(page_size=2, page_token=token))
        assert len(page.worlds) <= 2
        seen += [each.name for each in page.worlds]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(set(seen))
    assert made <= set(seen)


@pytest.mark.parametrize("token", ["nonsense!", "AA==", "/w==", "é"])
def test_a_page_token_that_is_not_ours_is_refused(desk: Desk, token: str) -> None:
    found = refusal(lambda: desk.worlds.ListWorlds(pb.ListWorldsRequest(page_token=token)))
    assert (found.reason, found.fields) == ("INVALID_FIELD", ("page_token",))
    world = make_world(desk)
    found = refusal(lambda: desk.worlds.ListPolicies(pb.ListPoliciesRequest(world=world, page_token=token)))
    assert (found.reason, found.fields) == ("INVALID_FIELD", ("page_token",))


def test_policy_versions_count_up_and_one_is_in_force(desk: Desk) -> None:
    world = make_world(desk)
    second = upload(desk, world, STRICT_POLICY)
    assert (second.version, second.active) == (2, False)
    assert [(each.version, each.active) for each in policies(desk, world)] == [(2, False), (1, True)]
    request = pb.ActivatePolicyRequest(request_id=request_id(), world=world, version=2)
    assert desk.worlds.ActivatePolicy(request).policy.active
    assert read(desk, world).active_policy_version == 2
    page = desk.worlds.ListPolicies(pb.ListPoliciesRequest(world=world, page_size=1))
    rest = desk.worlds.ListPolicies(pb.ListPoliciesRequest(world=world, page_token=page.next_page_token))
    assert [each.version for each in (*page.policies, *rest.policies)] == [2, 1]
    request = pb.ActivatePolicyRequest(request_id=request_id(), world=world, version=3)
    found = refusal(lambda: desk.worlds.ActivatePolicy(request))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "POLICY_NOT_FOUND")


@pytest.mark.parametrize(
    "yaml",
    [
        "",
        "gates: [",
        "select: {top_k: 3}\x00",
        POLICY.replace("metrics.sharpe", "metrics.sharp"),
        POLICY.replace(">= 0.5", ">= 'half'"),
        POLICY.replace("top_k: 3", "top_k: three"),
        "a: &a [*a]\n",
    ],
)
def test_a_bad_policy_is_refused_with_its_place_and_nothing_is_stored(desk: Desk, yaml: str) -> None:
    world = make_world(desk)
    before = (read(desk, world), policies(desk, world))
    found = refusal(lambda: upload(desk, world, yaml, activate=True))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_POLICY")
    assert found.fields
    assert int(found.metadata["line"]) >= 1
    assert int(found.metadata["column"]) >= 1
    assert (read(desk, world), policies(desk, world)) == before


def test_a_policy_beyond_its_limit_is_too_large(desk: Desk) -> None:
    world = make_world(desk)
    found = refusal(lambda: upload(desk, world, POLICY + "#" * 70_000))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")
    assert found.metadata == {"field": "yaml", "limit": "65536"}


def test_a_name_under_which_executors_may_know_intents_is_not_given_again(desk: Desk) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    put_policy(desk, world, STRICT_POLICY)
    evaluate(desk, Asked(world))
    delete(desk, world)
    for fields in ({}, {"validate_only": True}):
        found = refusal(partial(create, desk, world_message(world), **fields))
        assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "WORLD_NAME_USED")
        assert found.metadata == {"world": world}
    assert refusal(lambda: read(desk, world)).reason == "WORLD_NOT_FOUND"


def test_a_name_whose_world_never_opened_is_given_again(desk: Desk) -> None:
    world = make_world(desk)
    delete(desk, world)
    create(desk, world_message(world))


def test_a_world_with_active_strategies_is_kept_and_one_made_again_continues_its_sequence(desk: Desk) -> None:
    # Without orders, so that the name is free again.
    quiet: dict[str, Any] = {"mode": execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY}
    world = make_world(desk, **quiet)
    preset = read(desk, world).data_preset
    assert evaluate(desk, Asked(world)).activation.sequence == 3
    found = refusal(lambda: delete(desk, world))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORLD_NOT_EMPTY")
    assert found.metadata == {"world": world, "active": "1"}
    assert "has 1 active strategy;" in found.message
    put_policy(desk, world, STRICT_POLICY)
    assert not evaluate(desk, Asked(world)).HasField("activation")
    delete(desk, world)
    assert refusal(lambda: read(desk, world)).reason == "WORLD_NOT_FOUND"
    create(desk, world_message(world, preset, **quiet))
    assert put_policy(desk, world, POLICY) == 1
    status = world_status(desk, world)
    assert (len(status.strategies), status.trials, status.sequence) == (0, 0, 6)
    again = evaluate(desk, Asked(world)).activation
    assert (again.epoch, again.sequence) == (3, 9)


def test_a_deletion_is_repeated_under_its_request_id(desk: Desk) -> None:
    made = create(desk, world_message(fresh("some_world")))
    request = pb.DeleteWorldRequest(request_id=request_id(), world=made.name, etag="stale")
    assert refusal(lambda: desk.worlds.DeleteWorld(request)).reason == "STALE_ETAG"
    request = pb.DeleteWorldRequest(request_id=request_id(), world=made.name, etag=made.etag)
    for _ in range(2):
        desk.worlds.DeleteWorld(request)
    request.request_id = request_id()
    assert refusal(lambda: desk.worlds.DeleteWorld(request)).reason == "WORLD_NOT_FOUND"


async def test_a_status_is_of_one_moment_though_the_world_switches_while_it_is_read(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world))
    before = world_status(desk, world)
    switching = await asyncpg.connect(parts["postgres"].address)
    with ThreadPoolExecutor(1) as reader:
        async with switching.transaction():
            await switching.execute("LOCK TABLE world.place")
            reading = reader.submit(world_status, desk, world)
            while not await switching.fetchval(WAITING, "world.place"):
                assert not reading.done()
            await switching.execute("UPDATE world.place SET sequence = sequence + 1 WHERE world = $1", world)
        assert reading.result() == before
    await switching.close()


async def test_a_stop_does_not_wait_for_the_round_of_a_world_that_is_given_its_executor(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = make_world(desk, mode=execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY)
    evaluate(desk, Asked(world))
    stated = read(desk, world)
    stated.mode = execution_pb2.EFFECTIVE_MODE_PAPER
    deciding = await asyncpg.connect(parts["postgres"].address)
    with ThreadPoolExecutor(1) as caller:
        async with deciding.transaction():
            await deciding.execute("LOCK TABLE world.evaluation")
            updating = caller.submit(update, desk, stated)
            while not await deciding.fetchval(WAITING, "world.evaluation"):
                assert not updating.done()
            stop = apply_service_pb2.FreezeWorldRequest(world=world)
            assert list(desk.applies.FreezeWorld(stop, timeout=5).holds) == ["operator"]
            assert not updating.done()
        assert updating.result().mode == execution_pb2.EFFECTIVE_MODE_PAPER
    await deciding.close()
    executors = desk.applies.ListExecutors(apply_service_pb2.ListExecutorsRequest(world=world)).enrolments
    assert [each.executor for each in executors] == ["paper"]


async def test_an_evaluation_whose_world_is_deleted_while_it_loads_returns_finds_no_world(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = make_world(desk)
    evaluate(desk, Asked(world, mode="compute-only"), returns(seed=41))
    request = evaluation_request(submit(desk, Asked(world, period=6, mode="compute-only")), returns(seed=42))
    deleting = await asyncpg.connect(parts["postgres"].address)
    with ThreadPoolExecutor(1) as caller:
        async with deleting.transaction():
            await deleting.execute("LOCK TABLE world.return_series")
            refused = caller.submit(refusal, lambda: desk.evaluations.Evaluate(request))
            while not await deleting.fetchval(WAITING, "world.return_series"):
                assert not refused.done()
            await deleting.execute("DELETE FROM world.world WHERE name = $1", world)
        assert refused.result().reason == "WORLD_NOT_FOUND"
    await deleting.close()
