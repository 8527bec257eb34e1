"""The SQL of evaluations, decision rounds and standings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qmtl_foundation.postgres.pool import Connection
from qmtl_world.evaluation.codec import (
    decode_candidate,
    decode_rules,
    decode_state,
    encode_candidate,
    encode_metrics,
    encode_rules,
    encode_state,
)
from qmtl_world.evaluation.model import ReturnSeries
from qmtl_world.evaluation.records import EvaluationRecord, RoundRecord, Standing

MAX_TRIAL_SERIES = 100

# The same evaluation again takes its place as the newest one. Two strategies of equal code share a key, not a row.
_ADD = """
INSERT INTO evaluation (eval_key, world, strategy_id, strategy_version, policy_version, as_of, dataset_fingerprint,
                        effective_mode, preset, status, score, metrics, rules, candidate, equity_curve, series_ts,
                        series_ret, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (eval_key, world, strategy_id) DO UPDATE SET id = DEFAULT,
    effective_mode = excluded.effective_mode, preset = excluded.preset,
    status = excluded.status, score = excluded.score,
    metrics = excluded.metrics, rules = excluded.rules, candidate = excluded.candidate, as_of = excluded.as_of,
    create_time = excluded.create_time
WHERE excluded.effective_mode = ANY($19::text[]) OR evaluation.effective_mode <> ALL($19::text[])
RETURNING id
"""
# Without the series, which are large: what lists and the status show.
_SUMMARY = """
e.id, e.eval_key, e.world, e.strategy_id, e.strategy_version, e.policy_version, e.as_of, e.dataset_fingerprint,
e.status, e.score, e.metrics, e.rules, e.candidate, e.equity_curve, e.create_time,
''::bytea AS series_ts, ''::bytea AS series_ret
"""
_GET_ROW = "SELECT id FROM evaluation WHERE eval_key = $1 AND world = $2 AND strategy_id = $3"
_GET = "SELECT * FROM evaluation WHERE world = $1 AND eval_key = $2 ORDER BY id DESC LIMIT 1"
_LIST = (
    f"SELECT {_SUMMARY}"
    """
FROM evaluation e WHERE e.world = $1 AND ($2 = '' OR e.strategy_id = $2) AND e.id < $3 ORDER BY e.id DESC LIMIT $4
"""
)
# Of each strategy the evaluation that stands for it: one that may be promoted on the world's own data before all
# others, then of the newest snapshot, then the newest; and the same of the version in force.
_FOREMOST = "strategy_id, (effective_mode = ANY($2::text[]) AND preset = $3) DESC, as_of DESC, id DESC"
_CONTENDING = f"SELECT DISTINCT ON (strategy_id) * FROM evaluation WHERE world = $1 ORDER BY {_FOREMOST}"
_IN_FORCE = f"""
SELECT DISTINCT ON (strategy_id) * FROM evaluation
WHERE world = $1 AND (strategy_id, strategy_version) IN (SELECT * FROM unnest($4::text[], $5::text[]))
ORDER BY {_FOREMOST}
"""
_COUNT_TRIALS = """
SELECT count(*) FROM (SELECT DISTINCT strategy_id, strategy_version FROM evaluation WHERE world = $1) AS trials
"""
# One per version tried: its newest evaluation; what a proof refused is no result to compare with. Series are read of
# the newest trials only: their matrix is dense.
_OTHER_TRIALS = """
WITH trials AS (
    SELECT DISTINCT ON (strategy_id, strategy_version) * FROM evaluation
    WHERE world = $1 AND strategy_version <> $2 AND status <> 'rejected'
    ORDER BY strategy_id, strategy_version, id DESC
)
"""
_COUNT_OTHER_TRIALS = _OTHER_TRIALS + "SELECT count(*) FROM trials"
_TRIAL_SHARPES = _OTHER_TRIALS + "SELECT (metrics->>'sharpe')::float8 AS sharpe FROM trials WHERE metrics ? 'sharpe'"
_TRIAL_SERIES = _OTHER_TRIALS + "SELECT series_ts, series_ret FROM trials ORDER BY id DESC LIMIT $3"
_JUDGE = "UPDATE evaluation SET status = $2, score = $3, rules = $4 WHERE id = $1"
_NEWEST_ROUND = "SELECT * FROM round WHERE world = $1 ORDER BY id DESC LIMIT 1"
_ADD_ROUND = """
INSERT INTO round (world, as_of, policy_version, world_score, cohort, state, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_CLEAR_STANDINGS = "DELETE FROM standing WHERE world = $1"
_ADD_STANDING = """
INSERT INTO standing (world, strategy_id, evaluation_id, status, active, side, weight, score, contribution, rules)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_LIST_STANDINGS = (
    f"SELECT {_SUMMARY}"
    """
, s.status AS now_status, s.active, s.side, s.weight, s.score AS now_score, s.contribution,
       s.rules AS now_rules
FROM standing s JOIN evaluation e ON e.id = s.evaluation_id
WHERE s.world = $1 ORDER BY s.active DESC, s.score DESC NULLS LAST, s.strategy_id
"""
)


async def add_evaluation(connection: Connection, record: EvaluationRecord, promotable: Sequence[str]) -> int:
    """Store an evaluation and return its row; one that may be promoted is not replaced by one that may not."""
    row: int | None = await connection.fetchval(
        _ADD,
        record.eval_key,
        record.world,
        record.strategy_id,
        record.strategy_version,
        record.policy_version,
        record.as_of,
        record.dataset_fingerprint,
        record.candidate.effective_mode,
        record.candidate.dataset.preset,
        record.status,
        record.score,
        encode_metrics(record.metrics),
        encode_rules(record.rules),
        encode_candidate(record.candidate),
        list(record.equity_curve),
        record.series_ts,
        record.series_ret,
        record.create_time,
        promotable,
    )
    if row is None:
        row = await connection.fetchval(_GET_ROW, record.eval_key, record.world, record.strategy_id)
    return int(row)


async def read_evaluation(connection: Connection, world: str, eval_key: str) -> EvaluationRecord | None:
    """Return the newest evaluation under a key, or None."""
    row = await connection.fetchrow(_GET, world, eval_key)
    return None if row is None else _to_record(row)


async def list_evaluations(
    connection: Connection, world: str, strategy_id: str, below: int, limit: int
) -> list[EvaluationRecord]:
    """Return up to ``limit`` evaluations below a row, newest first; of one strategy unless it is empty."""
    return [_to_record(row) for row in await connection.fetch(_LIST, world, strategy_id, below, limit)]


async def contending_evaluations(
    connection: Connection, world: str, promotable: Sequence[str], preset: str
) -> dict[str, EvaluationRecord]:
    """Return of each strategy the evaluation that stands for it (``_FOREMOST``)."""
    rows = await connection.fetch(_CONTENDING, world, promotable, preset)
    return {row["strategy_id"]: _to_record(row) for row in rows}


async def evaluations_in_force(
    connection: Connection, world: str, promotable: Sequence[str], preset: str, versions: Mapping[str, str]
) -> dict[str, EvaluationRecord]:
    """Return of each strategy the evaluation that stands for its version in force."""
    rows = await connection.fetch(_IN_FORCE, world, promotable, preset, list(versions), list(versions.values()))
    return {row["strategy_id"]: _to_record(row) for row in rows}


async def count_trials(connection: Connection, world: str) -> int:
    """Return how many versions a world has evaluated: every version and every cell of a sweep is a trial."""
    return int(await connection.fetchval(_COUNT_TRIALS, world))


async def count_other_trials(connection: Connection, world: str, strategy_version: str) -> int:
    """Return how many other versions a world has evaluated; what a proof refused is no trial."""
    return int(await connection.fetchval(_COUNT_OTHER_TRIALS, world, strategy_version))


async def trial_sharpes(connection: Connection, world: str, strategy_version: str) -> list[float]:
    """Return the annualised Sharpe ratios of the world's other trials that have one."""
    return [row["sharpe"] for row in await connection.fetch(_TRIAL_SHARPES, world, strategy_version)]


async def trial_series(connection: Connection, world: str, strategy_version: str) -> list[ReturnSeries]:
    """Return the returns of the world's other trials, the newest up to ``MAX_TRIAL_SERIES``."""
    import numpy as np  # not at import: the service starts without it

    rows = await connection.fetch(_TRIAL_SERIES, world, strategy_version, MAX_TRIAL_SERIES)
    return [
        ReturnSeries(np.frombuffer(row["series_ts"], dtype="<i8"), np.frombuffer(row["series_ret"], dtype="<f8"))
        for row in rows
    ]


async def judge_evaluation(connection: Connection, record: EvaluationRecord, standing: Standing) -> None:
    """Keep with an evaluation how it was judged."""
    await connection.execute(_JUDGE, record.id, standing.status, standing.score, encode_rules(standing.rules))


async def read_round(connection: Connection, world: str) -> RoundRecord | None:
    """Return the newest decision round, or None."""
    row = await connection.fetchrow(_NEWEST_ROUND, world)
    if row is None:
        return None
    return RoundRecord(
        world=world,
        as_of=row["as_of"],
        policy_version=row["policy_version"],
        world_score=row["world_score"],
        cohort=json.loads(row["cohort"]),
        state=decode_state(row["state"]),
        create_time=row["create_time"],
    )


async def add_round(connection: Connection, record: RoundRecord, standings: Sequence[Standing]) -> None:
    """Store a round, and make its standings the world's."""
    await connection.execute(
        _ADD_ROUND,
        record.world,
        record.as_of,
        record.policy_version,
        record.world_score,
        json.dumps(dict(record.cohort)),
        encode_state(record.state),
        record.create_time,
    )
    await connection.execute(_CLEAR_STANDINGS, record.world)
    rows = [
        (
            record.world,
            each.evaluation.strategy_id,
            each.evaluation.id,
            each.status,
            each.active,
            each.side,
            each.weight,
            each.score,
            each.contribution,
            encode_rules(each.rules),
        )
        for each in standings
    ]
    await connection.executemany(_ADD_STANDING, rows)


async def list_standings(connection: Connection, world: str) -> list[Standing]:
    """Return where each strategy stands: active ones first, then by score, then by name."""
    return [
        Standing(
            evaluation=_to_record(row),
            status=row["now_status"],
            active=row["active"],
            side=row["side"],
            weight=row["weight"],
            score=row["now_score"],
            contribution=row["contribution"],
            rules=decode_rules(row["now_rules"]),
        )
        for row in await connection.fetch(_LIST_STANDINGS, world)
    ]


def _to_record(row: Mapping[str, Any]) -> EvaluationRecord:
    names: tuple[str, ...] = (
        *("id", "eval_key", "world", "strategy_id", "strategy_version", "policy_version", "as_of"),
        *("dataset_fingerprint", "status", "score", "series_ts", "series_ret", "create_time"),
    )
    return EvaluationRecord(
        metrics=json.loads(row["metrics"]),
        rules=decode_rules(row["rules"]),
        candidate=decode_candidate(row["candidate"]),
        equity_curve=tuple(row["equity_curve"]),
        **{name: row[name] for name in names},
    )
