"""Instances, places in the order stream, orders, fills, lines, reports; and the paper venue's own books."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    "COMMENT ON SCHEMA executor IS 'Executors of QMTL: journals, positions, fills. Nobody else reads it.'",
    # The newest start of each executor; every write of a start is conditional on its token standing here. A number
    # below a start's own is that of a restored database, not of a successor.
    """
    CREATE TABLE instance (
        executor text PRIMARY KEY,
        token text NOT NULL,
        number bigint NOT NULL,
        start_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    # revision: counts the transactions that changed this row, so that a start knows an older state again.
    # restored_mark: the newest mark when it did, null where it did not.
    """
    CREATE TABLE place (
        executor text NOT NULL,
        world text NOT NULL,
        enrolment bigint NOT NULL,
        position bigint NOT NULL,
        mark bigint NOT NULL,
        fence bigint NOT NULL,
        is_open boolean NOT NULL,
        unsure boolean NOT NULL,
        restored_mark bigint,
        revision bigint NOT NULL DEFAULT 1,
        timeline text NOT NULL,
        generation text NOT NULL,
        seats text NOT NULL,
        passed text,
        cash double precision,
        equity double precision,
        as_of timestamptz,
        PRIMARY KEY (executor, world)
    )
    """,
    """
    CREATE TABLE line (
        executor text NOT NULL,
        world text NOT NULL,
        strategy_id text NOT NULL,
        symbol text NOT NULL,
        quantity double precision NOT NULL DEFAULT 0,
        standing double precision,
        PRIMARY KEY (executor, world, strategy_id, symbol)
    )
    """,
    # position: of the intent in the order stream; 0 for an order of the executor's own. enrolment: under which it was
    # taken, by the number of its mark.
    """
    CREATE TABLE journal (
        executor text NOT NULL,
        order_id text NOT NULL,
        world text NOT NULL,
        strategy_id text NOT NULL,
        symbol text NOT NULL,
        weight double precision NOT NULL,
        held double precision NOT NULL,
        bar_time timestamptz NOT NULL,
        wish text NOT NULL,
        epoch bigint NOT NULL,
        position bigint NOT NULL,
        enrolment bigint NOT NULL,
        state text NOT NULL
            CHECK (state IN ('sending', 'working', 'filled', 'cancelled', 'rejected', 'unchanged')),
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        send_time timestamptz,
        PRIMARY KEY (executor, order_id)
    )
    """,
    "CREATE INDEX journal_by_line ON journal (executor, world, strategy_id, symbol, bar_time)",
    "CREATE INDEX journal_under_way ON journal (executor, world) WHERE state IN ('sending', 'working')",
    """
    CREATE TABLE fill (
        executor text NOT NULL,
        order_id text NOT NULL,
        fill_id text NOT NULL,
        quantity double precision NOT NULL,
        price double precision NOT NULL,
        fee double precision NOT NULL,
        fill_time timestamptz NOT NULL,
        PRIMARY KEY (executor, order_id, fill_id),
        FOREIGN KEY (executor, order_id) REFERENCES journal
    )
    """,
    # Intents that were fenced or refused: by id and epoch, for they do not use up the id.
    """
    CREATE TABLE turned_away (
        executor text NOT NULL,
        intent_id text NOT NULL,
        epoch bigint NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('fenced', 'refused')),
        world text NOT NULL,
        strategy_id text NOT NULL,
        position bigint NOT NULL,
        reason text NOT NULL,
        message text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (executor, intent_id, epoch, outcome)
    )
    """,
    "CREATE INDEX turned_away_by_time ON turned_away (create_time)",
    # message_id tells repetitions of a report apart, so that the stream's window does not swallow them.
    """
    CREATE TABLE report (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        executor text NOT NULL,
        world text NOT NULL,
        intent_id text NOT NULL,
        message_id text NOT NULL,
        payload bytea NOT NULL,
        publish_time timestamptz
    )
    """,
    "CREATE INDEX report_pending ON report (executor, id) WHERE publish_time IS NULL",
    "CREATE INDEX report_by_intent ON report (executor, intent_id, id)",
    "CREATE INDEX report_published ON report (publish_time) WHERE publish_time IS NOT NULL",
    # The paper venue's books: what a broker would keep on its side.
    """
    CREATE TABLE paper_account (
        executor text NOT NULL,
        world text NOT NULL,
        cash double precision NOT NULL,
        clock bigint NOT NULL,
        shares text NOT NULL,
        marks text NOT NULL,
        is_ruined boolean NOT NULL,
        PRIMARY KEY (executor, world)
    )
    """,
    """
    CREATE TABLE paper_order (
        executor text NOT NULL,
        order_id text NOT NULL,
        world text NOT NULL,
        strategy_id text NOT NULL,
        symbol text NOT NULL,
        weight double precision NOT NULL,
        held double precision NOT NULL,
        state text NOT NULL CHECK (state IN ('working', 'filled', 'cancelled', 'rejected', 'unchanged')),
        reason text NOT NULL DEFAULT '',
        message text NOT NULL DEFAULT '',
        shares double precision NOT NULL DEFAULT 0,
        price double precision NOT NULL DEFAULT 0,
        fee double precision NOT NULL DEFAULT 0,
        fill_time timestamptz,
        PRIMARY KEY (executor, order_id)
    )
    """,
    "CREATE INDEX paper_order_working ON paper_order (executor, world) WHERE state = 'working'",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
