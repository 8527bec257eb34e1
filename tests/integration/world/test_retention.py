"""What ages out of the services' schemas, and what never does: real rows, a clock that is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2 as pb
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2
from qmtl_foundation.postgres import open_pool
from qmtl_foundation.postgres.retention import sweep
from qmtl_foundation.settings import Secret, read_settings
from qmtl_gateway import retention as gateway
from qmtl_sdk.local.progress import ProcessStatus
from qmtl_world import retention as world_service
from qmtl_world.evaluation.trials import MAX_TRIAL_SERIES
from qmtl_world.settings import WorldSettings
from tests.support.desk import (
    LATER,
    STRICT_POLICY,
    Asked,
    Desk,
    evaluate,
    evaluation_request,
    make_world,
    put_policy,
    refusal,
    register_data,
    relayed_set,
    returns,
    submit,
    world_status,
)

KEEP_DAYS, KEEP_SERIES_DAYS = 7, 90


@pytest.fixture
async def database(parts: dict[str, ProcessStatus]) -> AsyncIterator[Any]:
    """Give a connection to the stack's database."""
    connection = await asyncpg.connect(parts["postgres"].address)
    yield connection
    await connection.close()


async def after(parts: dict[str, ProcessStatus], days: float) -> dict[str, int]:
    """Sweep the world service's schema as if so many days had passed."""
    async with open_pool(Secret(parts["postgres"].address), "world") as pool:
        aged = world_service.aged(KEEP_DAYS, KEEP_SERIES_DAYS)
        return await sweep(pool, aged, utc_now() + timedelta(days=days))


async def count(database: Any, table: str, world: str) -> int:
    rows = f"SELECT count(*) FROM world.{table} WHERE world = $1"  # noqa: S608  # the names are this module's own
    return int(await database.fetchval(rows, world))


async def add_trials(database: Any, world: str, *, is_result: bool) -> None:
    """Add so many newer trials, with returns of their own, that older ones are none of those that statistics read."""
    await database.execute(
        "INSERT INTO world.return_series SELECT $1, $2 || number, ts, ret, now()"
        " FROM (SELECT ts, ret FROM world.return_series WHERE world = $1 LIMIT 1) AS one,"
        " generate_series(0, $3::int) number",
        world,
        f"{is_result}-",
        MAX_TRIAL_SERIES + 1,
    )
    await database.execute(
        "INSERT INTO world.trial (world, strategy_id, strategy_version, id, is_result, series_id)"
        " SELECT $1, 'ann/Many', $2 || number, 1000000000 + number, $4, $2 || number"
        " FROM generate_series(0, $3::int) number",
        world,
        f"{is_result}-",
        MAX_TRIAL_SERIES + 1,
        is_result,
    )


def has_returns(desk: Desk, world: str, eval_key: str) -> bool:
    request = pb.GetEvaluationRequest(world=world, eval_key=eval_key, include_returns=True)
    return bool(desk.evaluations.GetEvaluation(request).HasField("returns"))


async def test_an_answer_is_remembered_for_its_days_and_then_the_id_is_free(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = make_world(desk)
    request = evaluation_request(submit(desk, Asked(world)))
    desk.evaluations.Evaluate(request)
    await after(parts, KEEP_DAYS - 1)
    request.code_version = "2.0.0"
    assert refusal(lambda: desk.evaluations.Evaluate(request)).reason == "REQUEST_ID_REUSED"
    await after(parts, KEEP_DAYS + 1)
    assert desk.evaluations.Evaluate(request).evaluation.status == "valid"


async def test_relayed_events_age_out_up_to_the_last_and_the_next_one_follows_it(
    desk: Desk, parts: dict[str, ProcessStatus], database: Any
) -> None:
    world = make_world(desk)
    for number, name in enumerate("ABC", 1):
        evaluate(desk, Asked(world, name), returns(seed=number))
        relayed_set(desk, world, number)
    assert await count(database, "outbox", world) > 2
    await after(parts, KEEP_DAYS + 1)
    # the last event, the last mark, and the one that the executor was enrolled behind
    assert await count(database, "outbox", world) == 3
    put_policy(desk, world, STRICT_POLICY)
    assert list(relayed_set(desk, world, 4).activations) == []


async def test_of_each_snapshot_the_last_decision_is_kept(
    desk: Desk, parts: dict[str, ProcessStatus], database: Any
) -> None:
    world = make_world(desk)
    preset = world_status(desk, world).world.data_preset
    for _ in range(3):
        evaluate(desk, Asked(world))
    register_data(desk, LATER, preset)
    evaluate(desk, Asked(world, as_of=LATER))
    assert await count(database, "round", world) == 4
    await after(parts, KEEP_DAYS + 1)
    assert await count(database, "round", world) == 2


async def test_returns_that_nothing_asks_for_age_out_and_their_evaluation_stays(
    desk: Desk, parts: dict[str, ProcessStatus], database: Any
) -> None:
    world = make_world(desk)
    old = evaluate(desk, Asked(world, period=5), returns(0.002, seed=5)).evaluation
    new = evaluate(desk, Asked(world, period=6), returns(0.003, seed=6)).evaluation
    period = KEEP_SERIES_DAYS + 1
    await after(parts, period)
    assert has_returns(desk, world, old.eval_key)  # one of the newest trials
    await add_trials(database, world, is_result=False)
    await after(parts, 2 * period)
    assert has_returns(desk, world, old.eval_key)  # of the trials that are results still one of the newest
    await add_trials(database, world, is_result=True)
    await after(parts, 2 * period + KEEP_SERIES_DAYS - 1)  # looked at once in a period
    assert has_returns(desk, world, old.eval_key)
    await after(parts, 3 * period)
    assert not has_returns(desk, world, old.eval_key)
    assert has_returns(desk, world, new.eval_key)
    assert world_status(desk, world).trials == 2 + 2 * (MAX_TRIAL_SERIES + 2)
    again = evaluate(desk, Asked(world, period=5), returns(0.002, seed=5))
    assert (again.evaluation.eval_key, again.activation.active) == (old.eval_key, True)
    assert has_returns(desk, world, old.eval_key)


async def test_an_ended_submission_ages_out_and_a_pending_one_never_does(
    desk: Desk, parts: dict[str, ProcessStatus], database: Any
) -> None:
    world = make_world(desk)
    done, pending = (submit(desk, Asked(world, period=period)).submission_id for period in (5, 6))
    assert await database.fetchval("SELECT document FROM gateway.submission WHERE submission_id = $1", done) == b""
    await database.execute(
        "UPDATE gateway.submission SET state = 'pending', outcome = NULL, end_time = NULL WHERE submission_id = $1",
        pending,
    )
    async with open_pool(Secret(parts["postgres"].address), "gateway") as pool:
        await sweep(pool, gateway.aged(KEEP_DAYS), utc_now() + timedelta(days=KEEP_DAYS + 1))
    request = submission_service_pb2.GetSubmissionRequest(submission_id=done)
    assert refusal(lambda: desk.submissions.GetSubmission(request)).reason == "SUBMISSION_NOT_FOUND"
    request = submission_service_pb2.GetSubmissionRequest(submission_id=pending)
    assert desk.submissions.GetSubmission(request).submission.submission_id == pending
    await database.execute("DELETE FROM gateway.submission WHERE submission_id = $1", pending)


@pytest.mark.parametrize("variable", ["QMTL_KEEP_DAYS", "QMTL_KEEP_SERIES_DAYS"])
def test_nothing_is_forgotten_within_a_day(variable: str) -> None:
    required = {"POSTGRES_DSN": "postgresql://", "NATS_URL": "nats://", "LISTEN": "a:1", "METRICS_LISTEN": "a:2"}
    required |= {"AUTH_JWKS": "keys.json", "AUTH_ISSUER": "somebody"}
    environ = {f"QMTL_{name}": value for name, value in required.items()} | {variable: "0"}
    with pytest.raises(QmtlError, match=f"{variable} is 0, must be at least 1") as caught:
        read_settings(WorldSettings, environ)
    assert (caught.value.reason, caught.value.metadata) == (Reason.NOT_CONFIGURED, {"setting": variable})
