"""The SQL of a world's trials and of the return series that evaluations were computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qmtl_foundation.postgres.pool import Connection
from qmtl_world.evaluation.model import ReturnSeries, Status
from qmtl_world.evaluation.records import EvaluationRecord, SeriesRecord

MAX_TRIAL_SERIES: Final = 100  # a statistic over all trials' returns reads the newest: their matrix is dense

_ADD_SERIES = """
INSERT INTO return_series (world, series_id, ts, ret, use_time) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (world, series_id) DO UPDATE SET use_time = excluded.use_time
"""
_GET_SERIES = "SELECT series_id, ts, ret FROM return_series WHERE world = $1 AND series_id = ANY($2::text[])"
# A version's newest result stays its trial when a proof refuses a later one.
_NOTE_TRIAL = """
INSERT INTO trial (world, strategy_id, strategy_version, id, is_result, sharpe, series_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (world, strategy_id, strategy_version) DO UPDATE
SET id = excluded.id, is_result = excluded.is_result, sharpe = excluded.sharpe, series_id = excluded.series_id
WHERE excluded.is_result OR NOT trial.is_result
"""
_COUNT = "SELECT count(*) FROM trial WHERE world = $1"
_COUNT_WITH = """
SELECT 1 + count(*) FROM trial WHERE world = $1 AND (strategy_id, strategy_version) <> ($2, $3)
"""
_OTHERS = """
SELECT count(*) AS others, coalesce(array_agg(sharpe) FILTER (WHERE sharpe IS NOT NULL), '{}') AS sharpes
FROM trial WHERE world = $1 AND strategy_version <> $2 AND is_result
"""
_NEWEST = """
SELECT series_id FROM trial WHERE world = $1 AND strategy_version <> $2 AND is_result AND series_id IS NOT NULL
ORDER BY id DESC LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class OtherTrials:
    """Hold what a world tried beside one version: how often, the annualised Sharpe ratios, the newest returns."""

    count: int
    sharpes: tuple[float, ...]
    series: tuple[str, ...]


async def add_series(connection: Connection, record: EvaluationRecord, series: SeriesRecord) -> None:
    """Store the returns that an evaluation is of, or note that they are in use again."""
    await connection.execute(_ADD_SERIES, record.world, series.series_id, series.ts, series.ret, record.create_time)


async def read_series(connection: Connection, world: str, series_ids: Sequence[str]) -> list[SeriesRecord]:
    """Return the series of these names that a world has."""
    return [SeriesRecord(*row) for row in await connection.fetch(_GET_SERIES, world, list(series_ids))]


async def load_series(connection: Connection, world: str, series_ids: Sequence[str]) -> dict[str, ReturnSeries]:
    """Return the series of these names that a world has, decoded."""
    import numpy as np  # not at import: the service starts without it

    return {
        each.series_id: ReturnSeries(np.frombuffer(each.ts, dtype="<i8"), np.frombuffer(each.ret, dtype="<f8"))
        for each in await read_series(connection, world, series_ids)
    }


async def note_trial(connection: Connection, record: EvaluationRecord, status: Status) -> None:
    """Count an evaluated version among its world's trials; what a proof refused is no result."""
    await connection.execute(
        _NOTE_TRIAL,
        record.world,
        record.strategy_id,
        record.strategy_version,
        record.id,
        status != Status.REJECTED,
        record.metrics.get("sharpe"),
        record.series_id,
    )


async def count_trials(connection: Connection, world: str) -> int:
    """Return how many versions a world has evaluated: every version and every cell of a sweep is a trial."""
    return int(await connection.fetchval(_COUNT, world))


async def count_trials_with(connection: Connection, world: str, strategy_id: str, strategy_version: str) -> int:
    """Return how many versions a world has evaluated once it has evaluated this one."""
    return int(await connection.fetchval(_COUNT_WITH, world, strategy_id, strategy_version))


async def other_trials(connection: Connection, world: str, strategy_version: str) -> OtherTrials:
    """Return the world's trials of other versions; what a proof refused is no result to compare with."""
    row = await connection.fetchrow(_OTHERS, world, strategy_version)
    newest = await connection.fetch(_NEWEST, world, strategy_version, MAX_TRIAL_SERIES)
    return OtherTrials(row["others"], tuple(row["sharpes"]), tuple(each["series_id"] for each in newest))
