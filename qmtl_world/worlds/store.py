"""The SQL of worlds, policy versions and bindings."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance, Sizing, SizingRule
from qmtl_foundation.postgres.pool import Connection
from qmtl_foundation.requests import not_found
from qmtl_world.worlds.model import Binding, BoundDataset, PolicyVersion, SharePolicy, World, WorldSpec

_ADD_WORLD = """
INSERT INTO world (name, description, data_preset, bars_per_year, mode, allow_live, execution_model, sizing_rule,
                   share_policy, decision_ttl_s)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (name) DO NOTHING
RETURNING *
"""
_CHANGE_WORLD = """
UPDATE world SET description = $2, data_preset = $3, bars_per_year = $4, mode = $5, allow_live = $6,
                 execution_model = $7, sizing_rule = $8, share_policy = $9, decision_ttl_s = $10,
                 revision = revision + 1, update_time = now()
WHERE name = $1
RETURNING *
"""
_GET_WORLD = "SELECT * FROM world WHERE name = $1"
# Not FOR UPDATE: it would keep submissions from binding, whose rows refer to the world.
_LOCK_WORLD = "SELECT * FROM world WHERE name = $1 FOR NO KEY UPDATE"
_LIST_WORLDS = """
SELECT * FROM world WHERE name > $1 AND ($3::text[] IS NULL OR name = ANY ($3)) ORDER BY name LIMIT $2
"""
_DELETE_WORLD = "DELETE FROM world WHERE name = $1"

_ADD_POLICY = """
INSERT INTO policy (world, version, yaml, content_id)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM policy WHERE world = $1
RETURNING version
"""
_SELECT_POLICY = """
SELECT p.*, p.version = w.active_policy_version AS active FROM policy p JOIN world w ON w.name = p.world
"""
_GET_POLICY = _SELECT_POLICY + "WHERE p.world = $1 AND p.version = $2"
_LIST_POLICIES = _SELECT_POLICY + "WHERE p.world = $1 AND p.version < $2 ORDER BY p.version DESC LIMIT $3"
_ACTIVATE_POLICY = """
UPDATE world SET active_policy_version = $2, revision = revision + 1, update_time = now() WHERE name = $1
"""

_BIND = """
INSERT INTO binding (world, strategy_id, strategy_version, submission_id, preset, as_of, fingerprint, newest_as_of,
                     end_time, coverage, gaps, effective_mode)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (submission_id) DO NOTHING
"""
_NOTE_SNAPSHOT = """
INSERT INTO newest_snapshot (world, preset, as_of) VALUES ($1, $2, $3)
ON CONFLICT (world, preset) DO UPDATE SET as_of = excluded.as_of WHERE excluded.as_of > newest_snapshot.as_of
"""
_NEWEST_SNAPSHOTS = "SELECT preset, as_of FROM newest_snapshot WHERE world = $1"
_NEWEST_BINDING = """
SELECT * FROM binding WHERE world = $1 AND strategy_id = $2 AND strategy_version = $3 ORDER BY id DESC LIMIT 1
"""
_GET_BINDING = "SELECT * FROM binding WHERE world = $1 AND strategy_id = $2 AND submission_id = $3"


async def add_world(connection: Connection, spec: WorldSpec) -> World:
    """Add a world; one that stands is WORLD_EXISTS."""
    row = await connection.fetchrow(_ADD_WORLD, *_columns(spec))
    if row is None:
        raise QmtlError(
            Reason.WORLD_EXISTS,
            f"world {spec.name!r} stands already; take another name, or change it",
            metadata={"world": spec.name},
        )
    return _to_world(row)


async def change_world(connection: Connection, spec: WorldSpec) -> World:
    """Change a world that is locked."""
    return _to_world(await connection.fetchrow(_CHANGE_WORLD, *_columns(spec)))


async def read_world(connection: Connection, name: str, *, lock: bool = False) -> World:
    """Return a world, locked until the transaction's end when asked; WORLD_NOT_FOUND when there is none."""
    row = await connection.fetchrow(_LOCK_WORLD if lock else _GET_WORLD, name)
    if row is None:
        mend = "`qmtl world list` shows those there are, `qmtl world create` makes one"
        raise not_found(Reason.WORLD_NOT_FOUND, "world", name, mend, world=name)
    return _to_world(row)


async def list_worlds(
    connection: Connection, after: str, limit: int, among: Collection[str] | None = None
) -> list[World]:
    """Return up to ``limit`` worlds whose names come after ``after``; of those ``among`` given names, where given."""
    names = None if among is None else list(among)
    return [_to_world(row) for row in await connection.fetch(_LIST_WORLDS, after, limit, names)]


async def delete_world(connection: Connection, name: str) -> None:
    """Delete a world with its policies, bindings and evaluations. Its epoch and sequence stay: they never go back."""
    await connection.execute(_DELETE_WORLD, name)


async def add_policy(connection: Connection, world: str, yaml: str, content_id: str) -> PolicyVersion:
    """Add the next policy version of a world that is locked."""
    version = await connection.fetchval(_ADD_POLICY, world, yaml, content_id)
    return await read_policy(connection, world, version)


async def read_policy(connection: Connection, world: str, version: int) -> PolicyVersion:
    """Return a policy version; POLICY_NOT_FOUND when there is none."""
    row = await connection.fetchrow(_GET_POLICY, world, version)
    if row is None:
        mend = f"`qmtl world policy list {world}` shows those there are"
        name = f"{world}/{version}"
        raise not_found(Reason.POLICY_NOT_FOUND, "policy", name, mend, world=world, version=str(version))
    return _to_policy(row)


async def list_policies(connection: Connection, world: str, below: int, limit: int) -> list[PolicyVersion]:
    """Return up to ``limit`` policy versions below a version, newest first."""
    return [_to_policy(row) for row in await connection.fetch(_LIST_POLICIES, world, below, limit)]


async def activate_policy(connection: Connection, world: str, version: int) -> PolicyVersion:
    """Put a policy version of a locked world in force."""
    await read_policy(connection, world, version)
    await connection.execute(_ACTIVATE_POLICY, world, version)
    return await read_policy(connection, world, version)


async def bind(connection: Connection, binding: Binding) -> None:
    """Bind a submission's version; the strategy's newest binding is the last one made."""
    dataset = binding.dataset
    await connection.execute(
        _BIND,
        binding.world,
        binding.strategy_id,
        binding.strategy_version,
        binding.submission_id,
        dataset.preset,
        dataset.as_of,
        dataset.fingerprint,
        dataset.newest_as_of,
        dataset.end_time,
        dataset.coverage,
        dataset.gaps,
        binding.effective_mode.value,
    )
    if dataset.newest_as_of:
        await connection.execute(_NOTE_SNAPSHOT, binding.world, dataset.preset, dataset.newest_as_of)


async def newest_binding(connection: Connection, world: str, strategy_id: str, strategy_version: str) -> Binding:
    """Return a version's newest binding; STRATEGY_NOT_FOUND when it was never submitted to the world."""
    row = await connection.fetchrow(_NEWEST_BINDING, world, strategy_id, strategy_version)
    return _to_binding(row, world, strategy_id)


async def read_binding(connection: Connection, world: str, strategy_id: str, submission_id: str) -> Binding:
    """Return the binding that a submission of a strategy made; STRATEGY_NOT_FOUND when there is none."""
    row = await connection.fetchrow(_GET_BINDING, world, strategy_id, submission_id)
    return _to_binding(row, world, strategy_id)


async def newest_snapshots(connection: Connection, world: str) -> dict[str, str]:
    """Return the newest snapshot that is known of each preset that a world's strategies read, RFC 3339 in UTC."""
    return {row["preset"]: row["as_of"] for row in await connection.fetch(_NEWEST_SNAPSHOTS, world)}


def _columns(spec: WorldSpec) -> tuple[object, ...]:
    return (
        spec.name,
        spec.description,
        spec.data_preset,
        spec.bars_per_year,
        spec.mode.value,
        spec.allow_live,
        json.dumps(spec.execution_model.canonical()),
        json.dumps(spec.sizing_rule.canonical()),
        spec.share_policy.value,
        spec.decision_ttl_s,
    )


def _to_world(row: Mapping[str, Any]) -> World:
    execution, sizing = json.loads(row["execution_model"]), json.loads(row["sizing_rule"])
    spec = WorldSpec(
        name=row["name"],
        data_preset=row["data_preset"],
        bars_per_year=row["bars_per_year"],
        description=row["description"],
        mode=EffectiveMode(row["mode"]),
        allow_live=row["allow_live"],
        execution_model=ExecutionModel(
            **{**execution, "fill": Fill(execution["fill"]), "rebalance": Rebalance(execution["rebalance"])}
        ),
        sizing_rule=SizingRule(**{**sizing, "kind": Sizing(sizing["kind"])}),
        share_policy=SharePolicy(row["share_policy"]),
        decision_ttl_s=row["decision_ttl_s"],
    )
    return World(spec, row["active_policy_version"], row["revision"], row["create_time"], row["update_time"])


def _to_policy(row: Mapping[str, Any]) -> PolicyVersion:
    names = ("world", "version", "yaml", "content_id", "active", "create_time")
    return PolicyVersion(**{name: row[name] for name in names})


def _to_binding(row: Mapping[str, Any] | None, world: str, strategy_id: str) -> Binding:
    if row is None:
        mend = f"submit it to world {world!r} first"
        metadata = {"world": world, "strategy_id": strategy_id}
        raise not_found(Reason.STRATEGY_NOT_FOUND, "strategy", strategy_id, mend, **metadata)
    names = ("preset", "as_of", "fingerprint", "newest_as_of", "end_time", "coverage", "gaps")
    return Binding(
        world=row["world"],
        strategy_id=row["strategy_id"],
        strategy_version=row["strategy_version"],
        submission_id=row["submission_id"],
        dataset=BoundDataset(**{name: row[name] for name in names}),
        effective_mode=EffectiveMode(row["effective_mode"]),
    )
