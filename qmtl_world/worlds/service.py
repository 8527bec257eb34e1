"""``qmtl.world.v1.WorldService``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import invalid_field, too_large
from qmtl_foundation.identity import REQUEST_CONTEXT, bytes_id
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2 as pb
from qmtl_foundation.pb.qmtl.world.v1.world_service_pb2_grpc import WorldServiceServicer
from qmtl_foundation.postgres import acquire, rehearsal, snapshot, transaction
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_foundation.requests import (
    check_content_id,
    check_page_size,
    check_request_id,
    check_resource_name,
    check_strategy_id,
    check_submission_id,
    decode_number_token,
    decode_page_token,
    encode_page_token,
)
from qmtl_foundation.rpc.admission import caller
from qmtl_world.audit import store as audit_store
from qmtl_world.audit.model import Cause, changing, read_cause, stating
from qmtl_world.idempotency import Request, once
from qmtl_world.worlds import store
from qmtl_world.worlds.messages import from_dataset, from_world, to_decision, to_policy, to_world
from qmtl_world.worlds.model import Binding, PolicyVersion, World, bound_mode, check_etag, decide, stated
from qmtl_world.worlds.trading import Trading

MAX_POLICY_BYTES: Final = 64 * 1024
NEWEST: Final = 2**31 - 1

Rehearsable = pb.CreateWorldRequest | pb.UpdateWorldRequest | pb.UploadPolicyRequest  # with validate_only
Work = Callable[[Connection], Awaitable[bytes]]


class WorldService(WorldServiceServicer):
    """Answer for worlds, policies and decisions."""

    def __init__(self, pool: Pool, trading: Trading, clock: Clock) -> None:
        self._pool = pool
        self._trading = trading
        self._clock = clock

    async def CreateWorld(self, request: pb.CreateWorldRequest, context: Any) -> pb.CreateWorldResponse:
        """Make a world."""
        spec, cause = from_world(request.world), read_cause(caller().name, request.reason)

        async def work(connection: Connection) -> bytes:
            world = await store.add_world(connection, spec)
            await self._trading.admit_world(connection, spec.name)
            await self._note(connection, spec.name, "world_created", cause, stating(stated(spec)))
            await self._trading.follow_world(connection, world, self._clock())  # nothing is decided in a new world
            return pb.CreateWorldResponse(world=to_world(world)).SerializeToString()

        return pb.CreateWorldResponse.FromString(await self._mutate("CreateWorld", request, work))

    async def GetWorld(self, request: pb.GetWorldRequest, context: Any) -> pb.GetWorldResponse:
        """Read a world."""
        name = check_resource_name("world", request.world)
        async with acquire(self._pool) as connection:
            world = await store.read_world(connection, name)
        return pb.GetWorldResponse(world=to_world(world))

    async def ListWorlds(self, request: pb.ListWorldsRequest, context: Any) -> pb.ListWorldsResponse:
        """List the worlds that the caller may read."""
        size, after = check_page_size(request.page_size), decode_page_token(request.page_token)
        async with acquire(self._pool) as connection:
            worlds = await store.list_worlds(connection, after, size + 1, caller().readable)
        token = encode_page_token(worlds[size - 1].spec.name) if len(worlds) > size else ""
        return pb.ListWorldsResponse(worlds=[to_world(each) for each in worlds[:size]], next_page_token=token)

    async def UpdateWorld(self, request: pb.UpdateWorldRequest, context: Any) -> pb.UpdateWorldResponse:
        """Change a world."""
        spec, cause = from_world(request.world), read_cause(caller().name, request.reason)

        async def work(connection: Connection) -> bytes:
            current = await store.read_world(connection, spec.name, lock=True)
            check_etag(request.world.etag, current.etag)
            world = await store.change_world(connection, spec)
            await self._trading.follow_world(connection, world, self._clock())
            changed = changing(stated(current.spec), stated(spec))
            await self._note(connection, spec.name, "world_changed", cause, changed)
            return pb.UpdateWorldResponse(world=to_world(world)).SerializeToString()

        return pb.UpdateWorldResponse.FromString(await self._mutate("UpdateWorld", request, work))

    async def DeleteWorld(self, request: pb.DeleteWorldRequest, context: Any) -> pb.DeleteWorldResponse:
        """Delete a world in which nothing is active."""
        name, cause = check_resource_name("world", request.world), read_cause(caller().name, request.reason)

        async def work(connection: Connection) -> bytes:
            world = await store.read_world(connection, name, lock=True)
            check_etag(request.etag, world.etag)
            await self._trading.close_world(connection, name)
            await store.delete_world(connection, name)
            await self._note(connection, name, "world_deleted", cause, stating(stated(world.spec)))
            return b""

        await once(self._pool, _named("DeleteWorld", request), work)
        return pb.DeleteWorldResponse()

    async def UploadPolicy(self, request: pb.UploadPolicyRequest, context: Any) -> pb.UploadPolicyResponse:
        """Check and store a policy version."""
        name, cause = check_resource_name("world", request.world), read_cause(caller().name, request.reason)
        text = request.yaml.encode()
        if len(text) > MAX_POLICY_BYTES:
            raise too_large("yaml", len(text), MAX_POLICY_BYTES)
        content_id = await self._trading.check_policy(text)

        async def work(connection: Connection) -> bytes:
            world = await store.read_world(connection, name, lock=True)
            if request.validate_only:
                return b""
            policy = await store.add_policy(connection, name, request.yaml, content_id)
            if request.activate:
                policy = await self._put_in_force(connection, name, policy.version)
            uploaded = stating({"version": policy.version, "content_id": content_id})
            await self._note(connection, name, "policy_uploaded", cause, uploaded)
            if request.activate:
                await self._note_policy(connection, world, policy.version, cause)
            return pb.UploadPolicyResponse(policy=to_policy(policy)).SerializeToString()

        return pb.UploadPolicyResponse.FromString(await self._mutate("UploadPolicy", request, work))

    async def ListPolicies(self, request: pb.ListPoliciesRequest, context: Any) -> pb.ListPoliciesResponse:
        """List policy versions."""
        name, size = check_resource_name("world", request.world), check_page_size(request.page_size)
        below = decode_number_token(request.page_token, NEWEST)
        async with acquire(self._pool) as connection:
            await store.read_world(connection, name)
            policies = await store.list_policies(connection, name, below, size + 1)
        token = encode_page_token(str(policies[size - 1].version)) if len(policies) > size else ""
        return pb.ListPoliciesResponse(policies=[to_policy(each) for each in policies[:size]], next_page_token=token)

    async def ActivatePolicy(self, request: pb.ActivatePolicyRequest, context: Any) -> pb.ActivatePolicyResponse:
        """Put a policy version in force."""
        name, cause = check_resource_name("world", request.world), read_cause(caller().name, request.reason)
        if request.version < 1:
            raise invalid_field("version", f"{request.version} must be at least 1")

        async def work(connection: Connection) -> bytes:
            world = await store.read_world(connection, name, lock=True)
            policy = await self._put_in_force(connection, name, request.version)
            await self._note_policy(connection, world, policy.version, cause)
            return pb.ActivatePolicyResponse(policy=to_policy(policy)).SerializeToString()

        answer = await once(self._pool, _named("ActivatePolicy", request), work)
        return pb.ActivatePolicyResponse.FromString(answer)

    async def GetWorldStatus(self, request: pb.GetWorldStatusRequest, context: Any) -> pb.GetWorldStatusResponse:
        """Read where every strategy stands."""
        name = check_resource_name("world", request.world)
        async with snapshot(self._pool) as connection:
            world = await store.read_world(connection, name)
            return await self._trading.status(connection, world)

    async def BindStrategy(self, request: pb.BindStrategyRequest, context: Any) -> pb.BindStrategyResponse:
        """Bind a strategy version and decide."""
        binding = Binding(
            world=check_resource_name("world", request.world),
            strategy_id=check_strategy_id(request.strategy_id),
            strategy_version=check_content_id("strategy_version", request.strategy_version),
            submission_id=check_submission_id(request.submission_id),
            dataset=from_dataset(request.dataset),
        )
        now = self._clock()
        async with transaction(self._pool) as connection:
            world = await store.read_world(connection, binding.world)
            in_force = await self._trading.in_force(connection, binding.world, binding.strategy_id)
            decision = decide(world, binding, in_force, now)
            bound = replace(binding, effective_mode=bound_mode(decision, binding, request.mode, now))
            await store.bind(connection, bound)
        return pb.BindStrategyResponse(decision=to_decision(decision))

    async def GetDecision(self, request: pb.GetDecisionRequest, context: Any) -> pb.GetDecisionResponse:
        """Take a fresh decision."""
        name, strategy_id = check_resource_name("world", request.world), check_strategy_id(request.strategy_id)
        version = check_content_id("strategy_version", request.strategy_version)
        async with snapshot(self._pool) as connection:
            world = await store.read_world(connection, name)
            binding = await store.newest_binding(connection, name, strategy_id, version)
            in_force = await self._trading.in_force(connection, name, strategy_id)
        return pb.GetDecisionResponse(decision=to_decision(decide(world, binding, in_force, self._clock())))

    async def _put_in_force(self, connection: Connection, name: str, version: int) -> PolicyVersion:
        """Put a policy version in force, and decide the world's round under it: what it refuses leaves at once."""
        policy = await store.activate_policy(connection, name, version)
        world = await store.read_world(connection, name)
        await self._trading.follow_policy(connection, world, policy, self._clock())
        return policy

    async def _note_policy(self, connection: Connection, before: World, version: int, cause: Cause) -> None:
        changed = changing({"version": before.active_policy_version}, {"version": version})
        await self._note(connection, before.spec.name, "policy_activated", cause, changed)

    async def _note(self, connection: Connection, world: str, event: str, cause: Cause, detail: str) -> None:
        """Add to the audit, with nothing behind it in the transaction that takes time: it locks the place."""
        await audit_store.add(connection, world, event, cause, detail, self._clock())

    async def _mutate(self, method: str, request: Rehearsable, work: Work) -> bytes:
        """Do a mutation once, or rehearse it (``validate_only``): the answer is as if, and nothing is stored."""
        if not request.validate_only:
            return await once(self._pool, _named(method, request), work)
        async with rehearsal(self._pool) as connection:
            plan: bytes = await work(connection)
        return plan


def _named(method: str, request: Message) -> Request:
    request_id: str = request.request_id  # type: ignore[attr-defined]  # every mutation's request has one
    request_hash = bytes_id(REQUEST_CONTEXT, request.SerializeToString(deterministic=True))
    return Request(check_request_id(request_id), method, request_hash)
