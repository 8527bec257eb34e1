"""Say whose schema this is; the migrator has made it to keep its own table in."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Name the owner."""
    op.execute(
        "COMMENT ON SCHEMA world IS 'World service of QMTL: worlds, policies, evaluations. Nobody else reads it.'"
    )
