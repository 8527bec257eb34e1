"""PostgreSQL: pools, transactions, and the mapping of its failures to domain errors."""

from __future__ import annotations

from qmtl_foundation.postgres.pool import acquire, after_commit, open_pool, ping, rehearsal, snapshot, transaction

__all__ = ["acquire", "after_commit", "open_pool", "ping", "rehearsal", "snapshot", "transaction"]
