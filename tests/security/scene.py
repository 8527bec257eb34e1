"""Sets the scene of a trial on a stack, and reads what a refused call must leave as it was."""

from __future__ import annotations

from typing import Any

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local.progress import StackStatus
from tests.security.matrix import Scene
from tests.support.desk import Asked, Desk, make_world, submit


def set_scene(stack: StackStatus, desk: Desk) -> Scene:
    """Make a world with one strategy in it."""
    world = make_world(desk)
    return Scene(stack, world, submit(desk, Asked(world)).submission_id)


def state_of(desk: Desk, world: str) -> tuple[bytes, ...]:
    """Return all that can be read of a world, and of what no world owns, but what time alone changes."""
    named: dict[str, Any] = {"world": world}
    answers = [
        desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(**named)),
        desk.worlds.ListWorlds(world_service_pb2.ListWorldsRequest()),
        desk.worlds.ListPolicies(world_service_pb2.ListPoliciesRequest(**named)),
        desk.evaluations.ListEvaluations(evaluation_service_pb2.ListEvaluationsRequest(**named)),
        desk.applies.GetActivation(apply_service_pb2.GetActivationRequest(**named)),
        desk.applies.ListApplies(apply_service_pb2.ListAppliesRequest(**named)),
        desk.datasets.ListPresets(dataset_service_pb2.ListPresetsRequest()),
    ]
    enrolled = desk.applies.ListExecutors(apply_service_pb2.ListExecutorsRequest(**named)).enrolments
    executors = repr([(each.executor, each.mode) for each in enrolled]).encode()  # how far they are changes by itself
    return (*(each.SerializeToString(deterministic=True) for each in answers), executors)
