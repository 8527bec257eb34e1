"""What the world service forgets, and when.

Kept for good: worlds, policies, bindings, evaluations with their metrics and rules, trials, the newest decision of each
snapshot, and every activation set. Answers under a request id, events that stand in the control stream, and decisions
that a later one of the same snapshot replaced, are kept for days. Return series are kept as long as a round, a trial's
statistics or a view of the world may ask for them, and some time beyond.
"""

from __future__ import annotations

from datetime import timedelta

from qmtl_foundation.postgres.retention import Aged
from qmtl_world.evaluation.trials import MAX_TRIAL_SERIES

_ANSWERS = """
DELETE FROM request WHERE request_id IN (
    SELECT request_id FROM request WHERE create_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
# The relay and the next row of its kind refer to a world's last one, and an executor that starts to its enrolment's.
_EVENTS = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox e WHERE publish_time < $1 AND EXISTS (
        SELECT FROM outbox later
        WHERE later.world = e.world AND later.kind = e.kind AND later.number > e.number
          AND later.publish_time IS NOT NULL
    ) AND NOT EXISTS (
        SELECT FROM enrolment n WHERE n.world = e.world AND e.kind = 'mark' AND n.mark = e.number
    ) LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_ACKNOWLEDGEMENTS = """
DELETE FROM acknowledgement WHERE id IN (
    SELECT id FROM acknowledgement WHERE create_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_STARTS = """
DELETE FROM participant WHERE (kind, name, incarnation) IN (
    SELECT kind, name, incarnation FROM participant p WHERE expire_time < $1 AND EXISTS (
        SELECT FROM participant later
        WHERE later.kind = p.kind AND later.name = p.name AND later.register_time > p.register_time
    ) LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_DECISIONS = """
DELETE FROM round WHERE id IN (
    SELECT id FROM round r WHERE create_time < $1 AND EXISTS (
        SELECT FROM round later WHERE later.world = r.world AND later.preset = r.preset AND later.as_of = r.as_of
          AND later.id > r.id
    ) LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
# Asked for still: what stands, what is in force, each strategy's newest promotable evaluation on each preset (another
# one may become the world's), and the newest trials that are results, as statistics over trials read them.
_SERIES = f"""
WITH old AS (
    SELECT world, series_id FROM return_series WHERE use_time < $1 ORDER BY use_time LIMIT $2 FOR UPDATE SKIP LOCKED
), asked AS (
    SELECT o.world, o.series_id FROM old o
    WHERE EXISTS (
        SELECT FROM evaluation e
        WHERE e.world = o.world AND e.series_id = o.series_id AND (
            EXISTS (SELECT FROM standing s WHERE s.evaluation_id = e.id)
            OR EXISTS (
                SELECT FROM place a, jsonb_array_elements(a.activations) each
                WHERE a.world = e.world AND each->>'strategy_id' = e.strategy_id
                  AND each->>'strategy_version' = e.strategy_version
            )
            OR e.promotable AND NOT EXISTS (
                SELECT FROM evaluation later
                WHERE later.world = e.world AND later.strategy_id = e.strategy_id AND later.promotable
                  AND later.preset = e.preset AND (later.as_of, later.id) > (e.as_of, e.id)
            )
        )
    ) OR EXISTS (
        SELECT FROM trial t
        WHERE t.world = o.world AND t.series_id = o.series_id AND t.is_result AND t.id >= coalesce((
            SELECT id FROM trial newest
            WHERE newest.world = o.world AND newest.is_result AND newest.series_id IS NOT NULL
            ORDER BY id DESC OFFSET {MAX_TRIAL_SERIES} LIMIT 1
        ), 0)
    )
), touched AS (
    UPDATE return_series s SET use_time = $3 FROM asked a WHERE s.world = a.world AND s.series_id = a.series_id
), gone AS (
    DELETE FROM return_series s USING old o
    WHERE s.world = o.world AND s.series_id = o.series_id
      AND NOT EXISTS (SELECT FROM asked a WHERE a.world = o.world AND a.series_id = o.series_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM old) AS seen, (SELECT count(*) FROM gone) AS gone
"""  # noqa: S608  # the number is a constant of ours


def aged(keep_days: int, keep_series_days: int) -> tuple[Aged, ...]:
    """Return what ages out of the world service's schema."""
    days = timedelta(days=keep_days)
    return (
        Aged("answers", days, _ANSWERS),
        Aged("relayed events", days, _EVENTS),
        Aged("acknowledgements", days, _ACKNOWLEDGEMENTS),
        Aged("starts of participants", days, _STARTS),
        Aged("replaced decisions", days, _DECISIONS),
        Aged("return series", timedelta(days=keep_series_days), _SERIES, touches=True),
    )
