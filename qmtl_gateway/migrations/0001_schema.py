"""Submissions."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    "COMMENT ON SCHEMA gateway IS 'Gateway of QMTL: submissions in flight. Nobody else reads it.'",
    """
    CREATE TABLE submission (
        submission_id text PRIMARY KEY,
        request_id text NOT NULL UNIQUE,
        request_hash text NOT NULL,
        world text NOT NULL,
        strategy_id text NOT NULL,
        strategy_version text NOT NULL,
        document bytea NOT NULL,
        hint text NOT NULL,
        data_preset text NOT NULL,
        as_of text NOT NULL,
        dataset_fingerprint text NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'ready', 'rejected')),
        outcome jsonb,
        accept_time timestamptz NOT NULL DEFAULT now(),
        end_time timestamptz,
        CHECK ((state = 'pending') = (outcome IS NULL))
    )
    """,
    "CREATE INDEX submission_pending ON submission (accept_time) WHERE state = 'pending'",
    "CREATE INDEX submission_by_end ON submission (end_time)",
)


def upgrade() -> None:
    """Make the table."""
    for statement in STATEMENTS:
        op.execute(statement)
