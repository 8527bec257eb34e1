"""Say whose schema this is; the migrator has made it to keep its own table in."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Name the owner."""
    op.execute(
        "COMMENT ON SCHEMA gateway IS 'Gateway of QMTL: submissions in flight, runner sessions. Nobody else reads it.'"
    )
