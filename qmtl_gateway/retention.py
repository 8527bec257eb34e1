"""What the gateway forgets, and when: submissions that have ended, with their request ids.

What they made stands with its owners: the graph, the binding, the evaluation. A submitted document is forgotten when
its submission ends (``submission/store.py``).
"""

from __future__ import annotations

from datetime import timedelta

from qmtl_foundation.postgres.retention import Aged

_SUBMISSIONS = """
DELETE FROM submission WHERE submission_id IN (
    SELECT submission_id FROM submission WHERE end_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


def aged(keep_days: int) -> tuple[Aged, ...]:
    """Return what ages out of the gateway's schema."""
    return (Aged("ended submissions", timedelta(days=keep_days), _SUBMISSIONS),)
