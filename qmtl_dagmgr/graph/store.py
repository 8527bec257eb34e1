"""The graph's SQL. Nodes and edges are only ever added: their ids say all that they are."""

from __future__ import annotations

import json

from qmtl_dagmgr.graph.model import Merge, Resolution, StoredNode, queue_name
from qmtl_foundation.dag import Dag
from qmtl_foundation.identity import NodeIdentity, canonical_json
from qmtl_foundation.postgres import acquire, transaction
from qmtl_foundation.postgres.pool import Connection, Pool

_ADD_VERSION = """
INSERT INTO strategy_version (world, strategy_id, strategy_version, version_number)
SELECT $1, $2, $3, count(*) + 1 FROM strategy_version WHERE world = $1 AND strategy_id = $2
ON CONFLICT (world, strategy_id, strategy_version) DO NOTHING
"""
_GET_VERSION = """
SELECT id, version_number FROM strategy_version WHERE world = $1 AND strategy_id = $2 AND strategy_version = $3
"""
# Rows go in by id, so that two merges that meet lock in one order.
_ADD_NODES = """
INSERT INTO node (node_id, node_type, interval_s, period, params, schema_compat_id, code_hash, queue, introduced_by)
SELECT n.*, $9 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::text[],
                           $8::text[]) AS n (node_id)
ORDER BY n.node_id
ON CONFLICT (node_id) DO NOTHING
"""
_ADD_EDGES = """
INSERT INTO edge (node_id, position, argument, input_id)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[]) AS e (node_id, position, argument, input_id)
ORDER BY e.node_id, e.position
ON CONFLICT (node_id, position) DO NOTHING
"""
_USE_NODES = """
INSERT INTO version_node (version_id, node_id, name)
SELECT $1, n.* FROM unnest($2::text[], $3::text[]) AS n
ON CONFLICT (version_id, node_id) DO NOTHING
"""
_RESOLVE = "SELECT node_id, queue, introduced_by FROM node WHERE node_id = ANY($1::text[])"
_LOCK_STRATEGY = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_GET_NODE = "SELECT * FROM node WHERE node_id = $1"
_GET_INPUTS = "SELECT argument, input_id FROM edge WHERE node_id = $1 ORDER BY position"


async def merge(pool: Pool, world: str, strategy_id: str, version: str, dag: Dag) -> Merge:
    """Add what is new of a strategy version, in one transaction, and say what was known before it.

    The same version again answers the same: a node counts as known unless this very version introduced it.
    """
    async with transaction(pool) as connection:
        await connection.execute(_LOCK_STRATEGY, f"{world}\n{strategy_id}")
        await connection.execute(_ADD_VERSION, world, strategy_id, version)
        row = await connection.fetchrow(_GET_VERSION, world, strategy_id, version)
        await _add(connection, dag, row["id"])
        rows = await connection.fetch(_RESOLVE, [node.node_id for node in dag.nodes])
    found = {each["node_id"]: each for each in rows}
    resolutions = tuple(
        Resolution(node.node_id, found[node.node_id]["introduced_by"] != row["id"], found[node.node_id]["queue"])
        for node in dag.nodes
    )
    return Merge(resolutions, row["version_number"])


async def read_node(pool: Pool, node_id: str) -> StoredNode | None:
    """Return a node, or None."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(_GET_NODE, node_id)
        if row is None:
            return None
        inputs = await connection.fetch(_GET_INPUTS, node_id)
    identity = NodeIdentity(
        node_type=row["node_type"],
        interval_s=row["interval_s"],
        period=row["period"],
        params=json.loads(row["params"]),
        inputs=tuple((each["argument"], each["input_id"]) for each in inputs),
        schema_compat_id=row["schema_compat_id"],
        code_hash=row["code_hash"],
    )
    return StoredNode(node_id, identity, row["params"], row["queue"], row["create_time"])


async def _add(connection: Connection, dag: Dag, version_id: int) -> None:
    nodes = dag.nodes
    ids = [node.node_id for node in nodes]
    await connection.execute(
        _ADD_NODES,
        ids,
        [node.identity.node_type for node in nodes],
        [node.identity.interval_s for node in nodes],
        [node.identity.period for node in nodes],
        [canonical_json(node.identity.params) for node in nodes],
        [node.identity.schema_compat_id for node in nodes],
        [node.identity.code_hash for node in nodes],
        [queue_name(each) for each in ids],
        version_id,
    )
    edges = [
        (node.node_id, position, argument, source)
        for node in nodes
        for position, (argument, source) in enumerate(node.identity.inputs)
    ]
    if edges:
        await connection.execute(_ADD_EDGES, *(list(column) for column in zip(*edges, strict=True)))
    await connection.execute(_USE_NODES, version_id, ids, [node.name for node in nodes])
