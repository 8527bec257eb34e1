"""Worlds, policies, bindings, evaluations, rounds; apply runs, their participants and their outbox."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    "COMMENT ON SCHEMA world IS 'World service of QMTL: worlds, policies, evaluations. Nobody else reads it.'",
    # Which database this is; events and marks carry it. A restored backup goes on under its own.
    "CREATE TABLE timeline (timeline_id text NOT NULL)",
    "INSERT INTO timeline VALUES (replace(gen_random_uuid()::text, '-', ''))",
    """
    CREATE TABLE request (
        request_id text PRIMARY KEY,
        method text NOT NULL,
        request_hash text NOT NULL,
        answer bytea NOT NULL,
        create_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX request_by_time ON request (create_time)",
    """
    CREATE TABLE world (
        name text PRIMARY KEY,
        description text NOT NULL,
        data_preset text NOT NULL,
        bars_per_year double precision NOT NULL CHECK (bars_per_year > 0),
        mode text NOT NULL,
        allow_live boolean NOT NULL,
        execution_model jsonb NOT NULL,
        sizing_rule jsonb NOT NULL,
        share_policy text NOT NULL,
        decision_ttl_s integer NOT NULL CHECK (decision_ttl_s > 0),
        active_policy_version integer NOT NULL DEFAULT 0,
        revision bigint NOT NULL DEFAULT 1,
        create_time timestamptz NOT NULL DEFAULT now(),
        update_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE policy (
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        version integer NOT NULL CHECK (version >= 1),
        yaml text NOT NULL,
        content_id text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (world, version)
    )
    """,
    """
    CREATE TABLE binding (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        submission_id text NOT NULL UNIQUE,
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        strategy_id text NOT NULL,
        strategy_version text NOT NULL,
        preset text NOT NULL,
        as_of text NOT NULL,
        fingerprint text NOT NULL,
        newest_as_of text NOT NULL,
        end_time timestamptz,
        coverage double precision NOT NULL,
        gaps bigint NOT NULL,
        effective_mode text NOT NULL,
        bind_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX binding_by_strategy ON binding (world, strategy_id, id DESC)",
    # The newest snapshot of each preset that any binding of the world was told of.
    """
    CREATE TABLE newest_snapshot (
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        preset text NOT NULL,
        as_of text NOT NULL,
        PRIMARY KEY (world, preset)
    )
    """,
    # Named by content: equal returns are one row. They age out; what was computed from them stays.
    """
    CREATE TABLE return_series (
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        series_id text NOT NULL,
        ts bytea NOT NULL,
        ret bytea NOT NULL,
        use_time timestamptz NOT NULL,
        PRIMARY KEY (world, series_id)
    )
    """,
    "CREATE INDEX return_series_by_use ON return_series (use_time)",
    """
    CREATE TABLE evaluation (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        eval_key text NOT NULL,
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        strategy_id text NOT NULL,
        strategy_version text NOT NULL,
        policy_version integer NOT NULL,
        as_of text NOT NULL,
        dataset_fingerprint text NOT NULL,
        promotable boolean NOT NULL,
        preset text NOT NULL,
        status text NOT NULL,
        score double precision,
        metrics jsonb NOT NULL,
        rules jsonb NOT NULL,
        candidate jsonb NOT NULL,
        equity_curve double precision[] NOT NULL,
        series_id text,
        create_time timestamptz NOT NULL DEFAULT now(),
        UNIQUE (eval_key, world, strategy_id),
        FOREIGN KEY (world, series_id) REFERENCES return_series ON DELETE SET NULL (series_id)
    )
    """,
    "CREATE INDEX evaluation_by_series ON evaluation (world, series_id)",
    # What rounds read: the cells of sweeps, which are many, are none of it.
    "CREATE INDEX evaluation_promotable ON evaluation (world, strategy_id) WHERE promotable",
    "CREATE INDEX evaluation_by_strategy ON evaluation (world, strategy_id, id DESC)",
    "CREATE INDEX evaluation_by_version ON evaluation (world, strategy_id, strategy_version, id DESC)",
    # Every version and every cell of a sweep is one; ``id`` is its newest evaluation that is a result, not refused by a
    # proof. Narrow, so that what asks for all of a world's trials reads little.
    """
    CREATE TABLE trial (
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        strategy_id text NOT NULL,
        strategy_version text NOT NULL,
        id bigint NOT NULL,
        is_result boolean NOT NULL,
        sharpe double precision,
        series_id text,
        PRIMARY KEY (world, strategy_id, strategy_version),
        FOREIGN KEY (world, series_id) REFERENCES return_series ON DELETE SET NULL (series_id)
    )
    """,
    "CREATE INDEX trial_newest ON trial (world, id DESC)",
    "CREATE INDEX trial_by_series ON trial (world, series_id)",
    """
    CREATE TABLE round (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        preset text NOT NULL,
        as_of timestamptz NOT NULL,
        policy_version integer NOT NULL,
        world_score double precision,
        cohort jsonb NOT NULL,
        state jsonb NOT NULL,
        create_time timestamptz NOT NULL
    )
    """,
    "CREATE INDEX round_by_world ON round (world, id DESC)",
    "CREATE INDEX round_by_snapshot ON round (world, preset, as_of, id)",
    "CREATE INDEX round_by_time ON round (create_time)",
    """
    CREATE TABLE standing (
        world text NOT NULL REFERENCES world ON DELETE CASCADE,
        strategy_id text NOT NULL,
        evaluation_id bigint NOT NULL REFERENCES evaluation ON DELETE CASCADE ON UPDATE CASCADE,
        status text NOT NULL,
        active boolean NOT NULL,
        side text NOT NULL,
        weight double precision NOT NULL,
        score double precision,
        contribution double precision,
        rules jsonb NOT NULL,
        PRIMARY KEY (world, strategy_id)
    )
    """,
    "CREATE INDEX standing_by_evaluation ON standing (evaluation_id)",
    # All that follows outlives its world: epoch, sequence and mark never go back, even when a world of the same name is
    # made again. Where a world stands in its apply protocol; one row, changed under its lock only. ``seen_…``: the
    # most that a participant said of what this database never wrote.
    """
    CREATE TABLE place (
        world text PRIMARY KEY,
        epoch bigint NOT NULL DEFAULT 0,
        sequence bigint NOT NULL DEFAULT 0,
        mark bigint NOT NULL DEFAULT 0,
        is_open boolean NOT NULL DEFAULT false,
        holds text[] NOT NULL DEFAULT '{}',
        activations jsonb NOT NULL DEFAULT '[]',
        switch_time timestamptz,
        fenced text[] NOT NULL DEFAULT '{}',
        opened text[] NOT NULL DEFAULT '{}',
        repeat_time timestamptz,
        due_time timestamptz,
        run_id text,
        event_hash text NOT NULL DEFAULT '',
        terms jsonb,
        seen_epoch bigint NOT NULL DEFAULT 0,
        seen_sequence bigint NOT NULL DEFAULT 0,
        seen_mark bigint NOT NULL DEFAULT 0,
        reseed_mark bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX place_due ON place (due_time)",
    "CREATE INDEX place_held ON place (world) WHERE holds <> '{}'",
    """
    CREATE TABLE apply_run (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        world text NOT NULL,
        run_id text NOT NULL,
        request_hash text NOT NULL,
        phase text NOT NULL,
        plan jsonb NOT NULL,
        base text NOT NULL,
        prior jsonb NOT NULL,
        prior_holds text[] NOT NULL,
        timeouts jsonb NOT NULL,
        deadline timestamptz,
        awaited jsonb NOT NULL,
        acked jsonb NOT NULL,
        sequence bigint NOT NULL,
        epoch bigint NOT NULL,
        clears text NOT NULL,
        reason text NOT NULL,
        unopened text[] NOT NULL,
        actor text NOT NULL,
        cause text NOT NULL,
        trace text NOT NULL,
        revision bigint NOT NULL DEFAULT 1,
        phase_time timestamptz NOT NULL,
        create_time timestamptz NOT NULL,
        end_time timestamptz,
        UNIQUE (world, run_id)
    )
    """,
    "CREATE INDEX apply_run_unfinished ON apply_run (world, id) WHERE end_time IS NULL",
    # What the newest round says shall trade, and what of it waits for its run.
    """
    CREATE TABLE proposal (
        world text PRIMARY KEY REFERENCES world ON DELETE CASCADE,
        round_id bigint NOT NULL,
        says jsonb NOT NULL,
        pending jsonb,
        waits_for text NOT NULL DEFAULT '',
        trace text NOT NULL DEFAULT ''
    )
    """,
    # The audit: what was done in a world, by whom and why. Each entry is hashed with the hash of the one before it, as
    # ``qmtl_foundation.audit`` does; number and hash are given here, whoever writes. An end that was set back is for
    # readers to find: a world is stopped all the same.
    """
    CREATE TABLE audit (
        world text NOT NULL,
        number bigint NOT NULL,
        event text NOT NULL,
        actor text NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL DEFAULT '',
        run_id text,
        epoch bigint NOT NULL,
        sequence bigint NOT NULL,
        create_time timestamptz NOT NULL,
        hash text NOT NULL,
        PRIMARY KEY (world, number)
    )
    """,
    "CREATE INDEX audit_by_run ON audit (world, run_id, number)",
    """
    CREATE TABLE audit_head (
        world text PRIMARY KEY,
        number bigint NOT NULL DEFAULT 0,
        hash text NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = world, pg_temp
    AS $$
    DECLARE
        head audit_head;
        field text;
        hashed text := '';
    BEGIN
        INSERT INTO audit_head (world) VALUES (NEW.world) ON CONFLICT (world) DO NOTHING;
        SELECT * INTO head FROM audit_head WHERE world = NEW.world FOR UPDATE;
        NEW.number := greatest(head.number, (SELECT max(number) FROM audit WHERE world = NEW.world)) + 1;
        FOREACH field IN ARRAY ARRAY[
            head.hash, NEW.world, NEW.number::text, NEW.event, NEW.actor, NEW.reason, NEW.detail,
            coalesce(NEW.run_id, ''), NEW.epoch::text, NEW.sequence::text,
            (extract(epoch FROM NEW.create_time) * 1000000)::bigint::text
        ] LOOP
            hashed := hashed || octet_length(convert_to(field, 'UTF8')) || ':' || field || ',';
        END LOOP;
        NEW.hash := 'sha256:' || encode(sha256(convert_to(hashed, 'UTF8')), 'hex');
        UPDATE audit_head SET number = NEW.number, hash = NEW.hash WHERE world = NEW.world;
        RETURN NEW;
    END
    $$
    """,
    "CREATE TRIGGER audit_chained BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION chain_audit()",
    """
    CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE 'entries of the audit are never changed or removed' USING ERRCODE = 'restrict_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit()
    """,
    # Each start of a gateway or executor that was heard of.
    """
    CREATE TABLE participant (
        kind text NOT NULL,
        name text NOT NULL,
        incarnation text NOT NULL,
        register_time timestamptz NOT NULL,
        expire_time timestamptz NOT NULL,
        waits_for jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (kind, name, incarnation)
    )
    """,
    "CREATE INDEX participant_by_expiry ON participant (kind, expire_time)",
    """
    CREATE TABLE enrolment (
        world text NOT NULL,
        executor text NOT NULL,
        mode text NOT NULL,
        mark bigint NOT NULL,
        incarnation text NOT NULL DEFAULT '',
        renew_time timestamptz,
        position bigint NOT NULL DEFAULT 0,
        generation text NOT NULL DEFAULT '',
        positions jsonb NOT NULL DEFAULT '[]',
        create_time timestamptz NOT NULL,
        PRIMARY KEY (world, executor)
    )
    """,
    "CREATE INDEX enrolment_by_executor ON enrolment (executor)",
    # Up to where which order stream is purged; written before it is.
    """
    CREATE TABLE purged (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        generation text NOT NULL,
        position bigint NOT NULL
    )
    """,
    # Every acknowledgement that counted, written in the step that it caused.
    """
    CREATE TABLE acknowledgement (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        world text NOT NULL,
        kind text NOT NULL,
        participant text NOT NULL,
        incarnation text NOT NULL,
        epoch bigint NOT NULL,
        run_id text NOT NULL,
        phase text NOT NULL,
        sequence bigint NOT NULL,
        mark bigint NOT NULL,
        create_time timestamptz NOT NULL
    )
    """,
    "CREATE INDEX acknowledgement_by_time ON acknowledgement (create_time)",
    # Events and marks in the order in which they are told, for both streams.
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id text NOT NULL UNIQUE,
        world text NOT NULL,
        kind text NOT NULL,
        number bigint NOT NULL,
        payload bytea NOT NULL,
        trace text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT now(),
        publish_time timestamptz,
        position bigint,
        UNIQUE (world, kind, number)
    )
    """,
    "CREATE INDEX outbox_unpublished ON outbox (id) WHERE publish_time IS NULL",
    "CREATE INDEX outbox_by_publication ON outbox (publish_time)",
    # The newest event and mark of each world that stand in their streams, written by the relay alone.
    """
    CREATE TABLE relayed (
        world text NOT NULL,
        kind text NOT NULL,
        number bigint NOT NULL,
        event_id text NOT NULL,
        payload bytea NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (world, kind)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
