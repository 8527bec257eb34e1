"""What an executor forgets, and when.

Kept for good: places, lines, orders with their fills, the paper venue's books. Reports that stand in their stream, and
intents that were turned away, are kept for days. An order that is repeated later is answered by what the journal has of
it. Executors that share a database forget for each other.
"""

from __future__ import annotations

from datetime import timedelta

from qmtl_foundation.postgres.retention import Aged

_REPORTS = """
DELETE FROM report WHERE id IN (
    SELECT id FROM report WHERE publish_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_TURNED_AWAY = """
DELETE FROM turned_away WHERE (executor, intent_id, epoch, outcome) IN (
    SELECT executor, intent_id, epoch, outcome FROM turned_away WHERE create_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


def aged(keep_days: int) -> tuple[Aged, ...]:
    """Return what ages out of an executor's schema."""
    days = timedelta(days=keep_days)
    return (Aged("published reports", days, _REPORTS), Aged("intents turned away", days, _TURNED_AWAY))
