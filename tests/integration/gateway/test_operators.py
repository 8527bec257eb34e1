"""The gateway as operators meet it: reflection, health, ``buf curl``; and one refusal for each reason that it gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from qmtl_foundation.identity import NodeIdentity
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.support.desk import (
    FINGERPRINT,
    POLICY,
    Asked,
    Desk,
    Refusal,
    document,
    evaluation_request,
    fresh,
    make_world,
    metrics,
    node,
    refusal,
    register_data,
    request_id,
    submit,
    version_of,
    world_message,
)

SERVICES = {
    "qmtl.allocation.v1.AllocationService",
    "qmtl.apply.v1.ApplyService",
    "qmtl.audit.v1.AuditService",
    "qmtl.control.v1.SessionService",
    "qmtl.dataset.v1.DatasetService",
    "qmtl.evaluation.v1.EvaluationService",
    "qmtl.graph.v1.GraphService",
    "qmtl.order.v1.OrderService",
    "qmtl.submission.v1.SubmissionService",
    "qmtl.world.v1.WorldService",
}
OWN = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
BUF = shutil.which("buf") or str(Path(sys.executable).with_name("buf"))


def curl(stack: StackStatus, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``buf curl`` against the gateway; the last argument is a method, or ``/list-services`` and its like."""
    *options, target = arguments
    url = f"http://{stack.gateway_address}{target}"
    bearer = ("--header", f"Authorization: Bearer {stack.token_file.read_text()}")
    command = (BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *bearer, *options, url)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_reflection_lists_every_service_and_describes_every_method(desk: Desk) -> None:
    database = ProtoReflectionDescriptorDatabase(desk.channel)
    assert set(database.get_services()) == SERVICES | OWN
    pool = DescriptorPool(database)
    for service in SERVICES:
        assert pool.FindServiceByName(service).methods
    for kind in ("ErrorInfo", "BadRequest", "RetryInfo"):
        assert pool.FindMessageTypeByName(f"google.rpc.{kind}").fields


def test_every_service_is_healthy_by_name_and_an_unknown_one_is_not_found(desk: Desk) -> None:
    for service in ("", *SERVICES):
        assert desk.health(service) == health_pb2.HealthCheckResponse.SERVING
    assert refusal(lambda: desk.health("qmtl.Nothing")).code is grpc.StatusCode.NOT_FOUND


def test_buf_curl_lists_describes_and_asks_for_health(stack: StackStatus) -> None:
    listed = curl(stack, "--list-services", "")
    assert set(listed.stdout.split()) >= SERVICES, listed.stderr
    methods = curl(stack, "--list-methods", "")
    assert "qmtl.world.v1.WorldService/GetWorld" in methods.stdout
    assert "BindStrategy" not in methods.stdout  # only services may call it
    health = curl(stack, "--data", "{}", "/grpc.health.v1.Health/Check")
    assert json.loads(health.stdout) == {"status": "SERVING"}, health.stderr


def test_buf_curl_reads_a_world_and_nonsense_is_an_invalid_argument_with_details(
    stack: StackStatus, desk: Desk
) -> None:
    world = make_world(desk)
    read = curl(stack, "--data", json.dumps({"world": world}), "/qmtl.world.v1.WorldService/GetWorld")
    assert json.loads(read.stdout)["world"]["name"] == world, read.stderr
    nonsense = curl(stack, "--data", '{"world": "No World!"}', "/qmtl.world.v1.WorldService/GetWorld")
    assert nonsense.returncode != 0
    answer = json.loads(nonsense.stderr)
    assert answer["code"] == "invalid_argument"
    kinds = {each["type"] for each in answer["details"]}
    assert kinds == {"google.rpc.ErrorInfo", "google.rpc.BadRequest"}


def bad_node(desk: Desk, **fields: Any) -> Refusal:
    nodes = [{**node(NodeIdentity("stream/1", 60, 1), "bars"), **fields}]
    return refused_dag(desk, document(nodes))


def refused_dag(desk: Desk, dag: bytes) -> Refusal:
    request = Asked("somewhere").request()
    request.dag = dag
    return refusal(lambda: desk.submissions.Submit(request))


def cycle(desk: Desk) -> Refusal:
    stream = node(NodeIdentity("stream/1", 60, 1), "bars")
    mean = node(NodeIdentity("op.rolling_mean/1", 60, 5, {}, (("x", str(stream["node_id"])),)), "mean")
    return refused_dag(desk, document([mean, stream]))


def reused(desk: Desk) -> Refusal:
    asked = Asked(make_world(desk))
    submit(desk, asked)
    other = Asked(asked.world, period=9, request_id=asked.request_id)
    return refusal(lambda: desk.submissions.Submit(other.request()))


def changed_preset(desk: Desk) -> Refusal:
    request = dataset_service_pb2.RegisterPresetRequest(name=register_data(desk), document=b"{}")
    return refusal(lambda: desk.datasets.RegisterPreset(request))


def second_world(desk: Desk) -> Refusal:
    request = world_service_pb2.CreateWorldRequest(request_id=request_id(), world=world_message(make_world(desk)))
    return refusal(lambda: desk.worlds.CreateWorld(request))


def stale_etag(desk: Desk) -> Refusal:
    request = world_service_pb2.DeleteWorldRequest(request_id=request_id(), world=make_world(desk), etag="old")
    return refusal(lambda: desk.worlds.DeleteWorld(request))


def policy_of(desk: Desk, yaml: str) -> Refusal:
    request = world_service_pb2.UploadPolicyRequest(request_id=request_id(), world=make_world(desk), yaml=yaml)
    return refusal(lambda: desk.worlds.UploadPolicy(request))


def evaluation_with(desk: Desk, policy: str = POLICY, **fields: Any) -> Refusal:
    request = evaluation_request(submit(desk, Asked(make_world(desk, policy))), **fields)
    return refusal(lambda: desk.evaluations.Evaluate(request))


def unknown(desk: Desk, stub: str, method: str, request: Any) -> Refusal:
    return refusal(lambda: getattr(getattr(desk, stub), method)(request))


# What the services refuse by themselves; the other reasons arise in the SDK, or when something is down.
CASES: dict[str, Callable[[Desk], Refusal]] = {
    "INVALID_FIELD": lambda desk: unknown(desk, "worlds", "GetWorld", world_service_pb2.GetWorldRequest(world="NO")),
    "NODE_ID_MISMATCH": lambda desk: bad_node(desk, crc32=1),
    "GRAPH_CYCLE": cycle,
    "NO_CANONICAL_FORM": lambda desk: refused_dag(
        desk, document([node(NodeIdentity("stream/1", 60, 1, {"x": 1}))]).replace(b'"x":1', b'"x":1e999')
    ),
    "TOO_LARGE": lambda desk: refused_dag(desk, b" " * (8 * 1024 * 1024 + 1)),
    "INVALID_POLICY": lambda desk: policy_of(desk, "gates: ["),
    "INVALID_SERIES": lambda desk: evaluation_with(desk, returns=b"nothing"),
    "BINDING_MISMATCH": lambda desk: evaluation_with(desk, dataset_fingerprint=""),
    "NO_ACTIVE_POLICY": lambda desk: evaluation_with(desk, policy=""),
    "WORLD_NOT_FOUND": lambda desk: unknown(
        desk, "worlds", "GetWorld", world_service_pb2.GetWorldRequest(world="nowhere")
    ),
    "POLICY_NOT_FOUND": lambda desk: unknown(
        desk,
        "worlds",
        "ActivatePolicy",
        world_service_pb2.ActivatePolicyRequest(request_id=request_id(), world=make_world(desk), version=9),
    ),
    "STRATEGY_NOT_FOUND": lambda desk: unknown(
        desk,
        "worlds",
        "GetDecision",
        world_service_pb2.GetDecisionRequest(world=make_world(desk), strategy_id="a/b", strategy_version=version_of()),
    ),
    "SUBMISSION_NOT_FOUND": lambda desk: unknown(
        desk, "submissions", "GetSubmission", submission_service_pb2.GetSubmissionRequest(submission_id="none")
    ),
    "PRESET_NOT_FOUND": lambda desk: unknown(
        desk, "datasets", "GetPreset", dataset_service_pb2.GetPresetRequest(name="nothing")
    ),
    "NODE_NOT_FOUND": lambda desk: unknown(
        desk, "graph", "GetNode", graph_service_pb2.GetNodeRequest(node_id=FINGERPRINT)
    ),
    "WORLD_EXISTS": second_world,
    "PRESET_EXISTS": changed_preset,
    "REQUEST_ID_REUSED": reused,
    "STALE_ETAG": stale_etag,
    "METHOD_NOT_SERVED": lambda desk: unknown(desk, "graph", "Diff", graph_service_pb2.DiffRequest()),
}


@pytest.mark.parametrize("reason", CASES)
def test_each_reason_of_the_services_is_given_at_the_gateway(desk: Desk, reason: str) -> None:
    found = CASES[reason](desk)
    assert found.reason == reason
    assert found.message
    assert found.metadata


def test_internal_methods_are_not_reached_through_the_gateway(desk: Desk) -> None:
    for call in (
        lambda: desk.worlds.BindStrategy(world_service_pb2.BindStrategyRequest()),
        lambda: desk.graph.Diff(graph_service_pb2.DiffRequest()),
    ):
        found = refusal(call)
        assert (found.code, found.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_SERVED")


def test_bytes_that_are_no_message_are_an_invalid_argument_at_every_service(desk: Desk) -> None:
    for path in (
        "/qmtl.world.v1.WorldService/GetWorld",
        "/qmtl.graph.v1.GraphService/GetNode",
        "/qmtl.submission.v1.SubmissionService/Submit",
    ):
        found = refusal(lambda path=path: desk.channel.unary_unary(path)(b"\xff\xff"))  # type: ignore[misc]  # a bound default
        assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("request",))


def test_a_deadline_of_a_millisecond_is_kept(desk: Desk) -> None:
    request = world_service_pb2.ListWorldsRequest()
    found = refusal(lambda: desk.worlds.ListWorlds(request, timeout=0.001))
    assert found.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_node_that_does_not_match_is_counted(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    address = parts["gateway"].metrics_address
    before = metrics(address)["nodeid_crc_mismatch_total"]
    found = bad_node(desk, crc32=7)
    assert set(found.metadata) == {"node", "expected", "given", "crc32"}
    assert metrics(address)["nodeid_crc_mismatch_total"] == before + 1


def test_names_that_no_store_can_hold_are_refused_at_the_door(desk: Desk) -> None:
    for name in (b"nul\\u0000", b"half\\ud800", b"line\\n"):
        dag = document([node(NodeIdentity("stream/1", 60, 1), "NAME")]).replace(b"NAME", name)
        found = refused_dag(desk, dag)
        assert (found.reason, found.fields) == ("INVALID_FIELD", ("dag.nodes[0].name",))
    missing = fresh("nothing") + "\0"
    request = submission_service_pb2.GetSubmissionRequest(submission_id=missing)
    assert refusal(lambda: desk.submissions.GetSubmission(request)).reason == "SUBMISSION_NOT_FOUND"
