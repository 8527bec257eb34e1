"""The graph and the dataset registry."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    "COMMENT ON SCHEMA dagmgr IS 'DAG manager of QMTL: graph, datasets. Nobody else reads it.'",
    """
    CREATE TABLE strategy_version (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        world text NOT NULL,
        strategy_id text NOT NULL,
        strategy_version text NOT NULL,
        version_number bigint NOT NULL,
        create_time timestamptz NOT NULL DEFAULT now(),
        UNIQUE (world, strategy_id, strategy_version),
        UNIQUE (world, strategy_id, version_number)
    )
    """,
    """
    CREATE TABLE node (
        node_id text PRIMARY KEY,
        node_type text NOT NULL,
        interval_s bigint NOT NULL CHECK (interval_s >= 0),
        period bigint NOT NULL CHECK (period >= 1),
        params bytea NOT NULL,
        schema_compat_id text NOT NULL,
        code_hash text NOT NULL,
        queue text NOT NULL UNIQUE,
        introduced_by bigint NOT NULL REFERENCES strategy_version,
        create_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE edge (
        node_id text NOT NULL REFERENCES node,
        position integer NOT NULL,
        argument text NOT NULL,
        input_id text NOT NULL REFERENCES node,
        PRIMARY KEY (node_id, position)
    )
    """,
    "CREATE INDEX edge_input ON edge (input_id)",
    """
    CREATE TABLE version_node (
        version_id bigint NOT NULL REFERENCES strategy_version,
        node_id text NOT NULL REFERENCES node,
        name text NOT NULL,
        PRIMARY KEY (version_id, node_id)
    )
    """,
    """
    CREATE TABLE preset (
        name text PRIMARY KEY,
        document bytea NOT NULL,
        content_id text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE snapshot (
        preset text NOT NULL REFERENCES preset,
        as_of timestamptz NOT NULL,
        fingerprint text NOT NULL,
        start_time timestamptz NOT NULL,
        end_time timestamptz NOT NULL,
        bars bigint NOT NULL CHECK (bars > 0),
        coverage double precision NOT NULL CHECK (coverage BETWEEN 0 AND 1),
        gaps bigint NOT NULL CHECK (gaps >= 0),
        create_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (preset, as_of, fingerprint)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
