"""The SQL of evaluations, decision rounds and standings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qmtl_foundation.errors import QmtlError, Reason
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
from qmtl_world.evaluation.model import Side, Status
from qmtl_world.evaluation.records import ContenderRecord, EvaluationRecord, RoundRecord, Standing

# The same evaluation again takes its place as the newest one; one that may be promoted is not replaced by one that may
# not. Two strategies of equal code share a key, not a row.
_ADD = """
INSERT INTO evaluation (eval_key, world, strategy_id, strategy_version, policy_version, as_of, dataset_fingerprint,
                        promotable, preset, status, score, metrics, rules, candidate, equity_curve, series_id,
                        create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (eval_key, world, strategy_id) DO UPDATE SET id = DEFAULT,
    promotable = excluded.promotable, preset = excluded.preset, status = excluded.status, score = excluded.score,
    metrics = excluded.metrics, rules = excluded.rules, candidate = excluded.candidate, as_of = excluded.as_of,
    series_id = excluded.series_id, create_time = excluded.create_time
WHERE excluded.promotable OR NOT evaluation.promotable
RETURNING id
"""
_GET = "SELECT * FROM evaluation WHERE world = $1 AND eval_key = $2 ORDER BY id DESC LIMIT 1"
_LIST = """
SELECT * FROM evaluation WHERE world = $1 AND ($2 = '' OR strategy_id = $2) AND id < $3 ORDER BY id DESC LIMIT $4
"""
# Of each strategy the evaluation that stands for it: one that may be promoted on the world's own data before all
# others, then of the newest snapshot, then the newest; and the same of the version in force. One that was never
# promotable stands for its strategy only where nothing else does (_STAND_ALONE).
_CONTENDER = """
SELECT DISTINCT ON (strategy_id) id, eval_key, strategy_id, strategy_version, as_of, dataset_fingerprint, series_id,
                                 metrics, candidate
"""
_FOREMOST = "strategy_id, (promotable AND preset = $2) DESC, as_of DESC, id DESC"
_CONTENDING = f"""
{_CONTENDER} FROM (
    SELECT * FROM evaluation WHERE world = $1 AND promotable
    UNION ALL
    SELECT e.* FROM standing s JOIN evaluation e ON e.id = s.evaluation_id WHERE s.world = $1 AND NOT e.promotable
) AS standing_for WHERE series_id IS NOT NULL ORDER BY {_FOREMOST}
"""
_IN_FORCE = f"""
{_CONTENDER} FROM evaluation
WHERE world = $1 AND (strategy_id, strategy_version) IN (SELECT * FROM unnest($3::text[], $4::text[]))
      AND series_id IS NOT NULL
ORDER BY {_FOREMOST}
"""
_JUDGE = "UPDATE evaluation SET status = $2, score = $3, rules = $4 WHERE id = $1"
_NEWEST_ROUND = "SELECT * FROM round WHERE world = $1 ORDER BY id DESC LIMIT 1"
_ADD_ROUND = """
INSERT INTO round (world, preset, as_of, policy_version, world_score, cohort, state, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id
"""
_STANDING = "strategy_id, evaluation_id, status, active, side, weight, score, contribution, rules"
_REPLACE = f"""
ON CONFLICT (world, strategy_id) DO UPDATE SET ({_STANDING}) =
    ROW (excluded.strategy_id, excluded.evaluation_id, excluded.status, excluded.active, excluded.side,
         excluded.weight, excluded.score, excluded.contribution, excluded.rules)
"""
# What a round does not change is not written again.
_SET_STANDINGS = f"""
INSERT INTO standing (world, {_STANDING})
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[], $7::float8[], $8::float8[],
                         $9::float8[], $10::jsonb[])
{_REPLACE} WHERE standing IS DISTINCT FROM excluded
"""
_CLEAR_OTHERS = "DELETE FROM standing WHERE world = $1 AND strategy_id <> ALL($2::text[])"
_STAND_ALONE = f"""
INSERT INTO standing (world, {_STANDING})
SELECT $1, $2, $3, $4, false, $5, 0, $6, NULL, $7
WHERE NOT EXISTS (SELECT FROM evaluation WHERE world = $1 AND strategy_id = $2 AND promotable)
{_REPLACE} WHERE (SELECT as_of FROM evaluation WHERE id = standing.evaluation_id) <= $8
"""
_LIST_STANDINGS = """
SELECT e.*, s.status AS now_status, s.active, s.side, s.weight, s.score AS now_score, s.contribution,
       s.rules AS now_rules
FROM standing s JOIN evaluation e ON e.id = s.evaluation_id
WHERE s.world = $1 ORDER BY s.active DESC, s.score DESC NULLS LAST, s.strategy_id
"""


async def add_promotable(connection: Connection, record: EvaluationRecord) -> int:
    """Store an evaluation that may be promoted, in place of the same one, and return its row."""
    row = await _add(connection, record, promotable=True)
    if row is None:
        raise QmtlError(Reason.INTERNAL, f"evaluation {record.eval_key} of {record.strategy_id} was not stored")
    return row


async def add_other(connection: Connection, record: EvaluationRecord) -> int | None:
    """Store one that may not be promoted and return its row; None where the same one stands there and may be."""
    return await _add(connection, record, promotable=False)


async def read_evaluation(connection: Connection, world: str, eval_key: str) -> EvaluationRecord | None:
    """Return the newest evaluation under a key, or None."""
    row = await connection.fetchrow(_GET, world, eval_key)
    return None if row is None else _to_record(row)


async def list_evaluations(
    connection: Connection, world: str, strategy_id: str, below: int, limit: int
) -> list[EvaluationRecord]:
    """Return up to ``limit`` evaluations below a row, newest first; of one strategy unless it is empty."""
    return [_to_record(row) for row in await connection.fetch(_LIST, world, strategy_id, below, limit)]


async def contending_evaluations(connection: Connection, world: str, preset: str) -> dict[str, ContenderRecord]:
    """Return of each strategy the evaluation that stands for it (``_FOREMOST``)."""
    rows = await connection.fetch(_CONTENDING, world, preset)
    return {row["strategy_id"]: ContenderRecord(*row) for row in rows}


async def evaluations_in_force(
    connection: Connection, world: str, preset: str, versions: Mapping[str, str]
) -> dict[str, ContenderRecord]:
    """Return of each strategy the evaluation that stands for its version in force."""
    rows = await connection.fetch(_IN_FORCE, world, preset, list(versions), list(versions.values()))
    return {row["strategy_id"]: ContenderRecord(*row) for row in rows}


async def judge_evaluation(connection: Connection, standing: Standing) -> None:
    """Keep with an evaluation how it was judged."""
    rules = encode_rules(standing.rules)
    await connection.execute(_JUDGE, standing.evaluation_id, standing.status, standing.score, rules)


async def read_round(connection: Connection, world: str) -> RoundRecord | None:
    """Return the newest decision round, or None."""
    row = await connection.fetchrow(_NEWEST_ROUND, world)
    if row is None:
        return None
    return RoundRecord(
        world=world,
        preset=row["preset"],
        as_of=row["as_of"],
        policy_version=row["policy_version"],
        world_score=row["world_score"],
        cohort=json.loads(row["cohort"]),
        state=decode_state(row["state"]),
        create_time=row["create_time"],
    )


async def add_round(connection: Connection, record: RoundRecord, standings: Sequence[Standing]) -> int:
    """Store a round, make its standings the world's, and return its number."""
    number: int = await connection.fetchval(
        _ADD_ROUND,
        record.world,
        record.preset,
        record.as_of,
        record.policy_version,
        record.world_score,
        json.dumps(dict(record.cohort)),
        encode_state(record.state),
        record.create_time,
    )
    columns = list(zip(*(_columns(each) for each in standings), strict=True))
    await connection.execute(_CLEAR_OTHERS, record.world, list(columns[0]))
    await connection.execute(_SET_STANDINGS, record.world, *map(list, columns))
    return number


async def stand_alone(connection: Connection, record: EvaluationRecord, standing: Standing) -> None:
    """Let an evaluation that may not be promoted stand for its strategy, unless one that may or a newer one does."""
    await connection.execute(
        _STAND_ALONE,
        record.world,
        record.strategy_id,
        standing.evaluation_id,
        standing.status,
        standing.side,
        standing.score,
        encode_rules(standing.rules),
        record.as_of,
    )


async def list_standings(connection: Connection, world: str) -> list[tuple[EvaluationRecord, Standing]]:
    """Return where each strategy stands, and on what: active ones first, then by score, then by name."""
    return [
        (
            _to_record(row),
            Standing(
                strategy_id=row["strategy_id"],
                evaluation_id=row["id"],
                status=Status(row["now_status"]),
                active=row["active"],
                side=Side(row["side"]),
                weight=row["weight"],
                score=row["now_score"],
                contribution=row["contribution"],
                rules=decode_rules(row["now_rules"]),
            ),
        )
        for row in await connection.fetch(_LIST_STANDINGS, world)
    ]


async def _add(connection: Connection, record: EvaluationRecord, *, promotable: bool) -> int | None:
    row: int | None = await connection.fetchval(
        _ADD,
        record.eval_key,
        record.world,
        record.strategy_id,
        record.strategy_version,
        record.policy_version,
        record.as_of,
        record.dataset_fingerprint,
        promotable,
        record.candidate.dataset.preset,
        record.status,
        record.score,
        encode_metrics(record.metrics),
        encode_rules(record.rules),
        encode_candidate(record.candidate),
        list(record.equity_curve),
        record.series_id,
        record.create_time,
    )
    return row


def _columns(standing: Standing) -> tuple[Any, ...]:
    """Return a standing's values in the order of ``_STANDING``."""
    return (
        standing.strategy_id,
        standing.evaluation_id,
        standing.status,
        standing.active,
        standing.side,
        standing.weight,
        standing.score,
        standing.contribution,
        encode_rules(standing.rules),
    )


def _to_record(row: Mapping[str, Any]) -> EvaluationRecord:
    names: tuple[str, ...] = (
        *("id", "eval_key", "world", "strategy_id", "strategy_version", "policy_version", "as_of"),
        *("dataset_fingerprint", "status", "score", "series_id", "create_time"),
    )
    return EvaluationRecord(
        metrics=json.loads(row["metrics"]),
        rules=decode_rules(row["rules"]),
        candidate=decode_candidate(row["candidate"]),
        equity_curve=tuple(row["equity_curve"]),
        **{name: row[name] for name in names},
    )
