"""A client of a gateway, and the calls that most tests of the services begin with: data, a world, a submission."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.request import urlopen

import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from numpy.typing import NDArray

from qmtl_foundation.dag import parse_dag
from qmtl_foundation.identity import Json, NodeIdentity, canonical_json, node_crc32, node_id
from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2_grpc
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2, apply_service_pb2, apply_service_pb2_grpc
from qmtl_foundation.pb.qmtl.audit.v1 import audit_service_pb2_grpc
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_pb2, evaluation_service_pb2, evaluation_service_pb2_grpc
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2_grpc
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2, submission_service_pb2, submission_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2, world_service_pb2_grpc
from qmtl_sdk.data.preset import builtin_presets
from tests.support.cohorts import arrow, days
from tests.support.credentials import Bearing
from tests.support.waiting import wait_until

CALL_SECONDS: Final = 20.0
AS_OF: Final = "2013-03-01T21:00:00Z"
LATER: Final = "2013-03-04T21:00:00Z"
FINGERPRINT: Final = "blake3:" + "ab" * 32
BARS: Final = 300
POLICY: Final = 'gates: [{name: sharpe, rule: "metrics.sharpe >= 0.5"}]\nselect: {top_k: 3}\n'
EVENTS_OF_RUN: Final = 3  # FREEZE, SWITCH, UNFREEZE
STRICT_POLICY: Final = 'gates: [{name: sharpe, rule: "metrics.sharpe >= 1000.0"}]\nselect: {top_k: 3}\n'

_numbers = itertools.count(1)
_SAMPLE = re.compile(r'^(\w+)(?:\{(?:.*?,)?(?:reason|outcome|field)="(\w+)".*?\}|\{.*\})? (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold how a call was refused."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desk:
    """Reach every service at one address."""

    channel: Any

    @property
    def worlds(self) -> Any:
        return world_service_pb2_grpc.WorldServiceStub(self.channel)

    @property
    def evaluations(self) -> Any:
        return evaluation_service_pb2_grpc.EvaluationServiceStub(self.channel)

    @property
    def applies(self) -> Any:
        return apply_service_pb2_grpc.ApplyServiceStub(self.channel)

    @property
    def allocations(self) -> Any:
        return allocation_service_pb2_grpc.AllocationServiceStub(self.channel)

    @property
    def audits(self) -> Any:
        return audit_service_pb2_grpc.AuditServiceStub(self.channel)

    @property
    def datasets(self) -> Any:
        return dataset_service_pb2_grpc.DatasetServiceStub(self.channel)

    @property
    def graph(self) -> Any:
        return graph_service_pb2_grpc.GraphServiceStub(self.channel)

    @property
    def submissions(self) -> Any:
        return submission_service_pb2_grpc.SubmissionServiceStub(self.channel)

    def health(self, service: str = "") -> int:
        """Return the status that ``grpc.health.v1`` reports."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        request = health_pb2.HealthCheckRequest(service=service)
        return int(stub.Check(request, timeout=CALL_SECONDS).status)


@dataclass(frozen=True, slots=True)
class Asked:
    """Say what a submission asks for; ``period`` tells versions of a strategy apart."""

    world: str
    name: str = "Trend"
    period: int = 5
    mode: str = ""
    data_preset: str = ""
    as_of: str = AS_OF
    fingerprint: str = FINGERPRINT
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def request(self) -> submission_service_pb2.SubmitRequest:
        """Return the message."""
        return submission_service_pb2.SubmitRequest(
            request_id=self.request_id,
            world=self.world,
            author="ann",
            name=self.name,
            dag=dag_document(self.period),
            mode=self.mode,
            data_preset=self.data_preset,
            as_of=self.as_of,
            dataset_fingerprint=self.fingerprint,
        )


@contextmanager
def dial(address: str, token: str) -> Iterator[Desk]:
    """Yield a client of an address whose calls carry a token; a call that states no deadline ends after
    ``CALL_SECONDS``."""
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        yield Desk(Bearing(channel, token, CALL_SECONDS))


def answers(client: Desk) -> bool:
    """Tell whether the services behind the gateway answer through it."""
    try:
        client.worlds.ListWorlds(world_service_pb2.ListWorldsRequest(page_size=1), timeout=1.0)
        client.datasets.ListPresets(dataset_service_pb2.ListPresetsRequest(page_size=1), timeout=1.0)
    except grpc.RpcError:
        return False
    return True


def refusal(call: Callable[[], object]) -> Refusal:
    """Return how a call is refused; fail when it is not."""
    try:
        call()
    except grpc.RpcError as error:
        return read_refusal(error)
    raise AssertionError("the call was not refused")


def read_refusal(error: Any) -> Refusal:
    """Return what an error of grpc says, with the details of AIP-193 where it has them."""
    status = rpc_status.from_call(error)
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in () if status is None else status.details:
        _ = detail.Unpack(info) or detail.Unpack(request)
    fields = tuple(each.field for each in request.field_violations)
    return Refusal(error.code(), error.details(), info.reason, dict(info.metadata), fields)


def fresh(prefix: str) -> str:
    """Return a name that no other test of this process has."""
    return f"{prefix}_{next(_numbers)}"


def request_id() -> str:
    """Return an idempotency key."""
    return uuid.uuid4().hex


def node(identity: NodeIdentity, name: str = "") -> dict[str, Json]:
    """Return a node as a DAG document holds it."""
    identifier = node_id(identity)
    own: dict[str, Json] = {"node_id": identifier, "crc32": node_crc32(identifier), "name": name, "tags": []}
    return {**identity.canonical(), **own}


def dag_document(period: int = 5) -> bytes:
    """Return a DAG of a stream and a mean over ``period`` bars, which is its target."""
    stream = node(NodeIdentity("stream/1", 86_400, 1, {"stream": "bars"}), "bars")
    mean = NodeIdentity("op.rolling_mean/1", 86_400, period, {}, (("x", str(stream["node_id"])),))
    return document([stream, node(mean, "mean")])


def version_of(period: int = 5) -> str:
    """Return the strategy version of that DAG without parameters."""
    return parse_dag(dag_document(period)).version({})


def document(nodes: Sequence[Json]) -> bytes:
    """Return the DAG of nodes, the last of which is the target."""
    last = nodes[-1]["node_id"] if nodes else None  # type: ignore[index,call-overload]  # a node is an object
    outputs: Json = {"kind": "target" if nodes else "none", "panel": last, "by_symbol": []}
    return canonical_json({"schema": "qmtl.dag/1", "nodes": nodes, "outputs": outputs})


def register_data(desk: Desk, as_of: str = AS_OF, preset: str = "") -> str:
    """Register a preset (of a fresh name unless one is given) with one snapshot, and return its name."""
    name = preset or fresh("preset")
    register_preset(desk, name)
    snapshot = dataset_pb2.Snapshot(preset=name, as_of=as_of, fingerprint=FINGERPRINT, bars=BARS, coverage=1.0)
    snapshot.start_time.FromJsonString("2012-01-03T21:00:00Z")
    snapshot.end_time.FromJsonString(as_of)
    desk.datasets.RegisterSnapshot(dataset_service_pb2.RegisterSnapshotRequest(snapshot=snapshot), timeout=CALL_SECONDS)
    return name


def daily_preset(name: str) -> bytes:
    """Return the document of a preset that a runner could read."""
    return canonical_json({**json.loads(builtin_presets()["sample_us_equity_1d"].document()), "name": name})


def register_preset(desk: Desk, name: str) -> None:
    """Register a preset without any snapshot."""
    request = dataset_service_pb2.RegisterPresetRequest(name=name, document=daily_preset(name))
    desk.datasets.RegisterPreset(request, timeout=CALL_SECONDS)


def world_message(name: str, preset: str = "daily", **fields: Any) -> world_pb2.World:
    """Return a paper world of daily bars."""
    stated = {"mode": execution_pb2.EFFECTIVE_MODE_PAPER, "share_policy": world_pb2.SHARE_POLICY_WORLD, **fields}
    return world_pb2.World(name=name, data_preset=preset, bars_per_year=252.0, **stated)


def make_world(desk: Desk, policy: str = POLICY, preset: str = "", **fields: Any) -> str:
    """Make a world with data and a policy in force (none when empty), and return its name."""
    name = fresh("made_world")
    world = world_message(name, preset or register_data(desk), **fields)
    desk.worlds.CreateWorld(
        world_service_pb2.CreateWorldRequest(request_id=request_id(), world=world), timeout=CALL_SECONDS
    )
    if policy:
        put_policy(desk, name, policy)
    return name


def put_policy(desk: Desk, world: str, yaml: str) -> int:
    """Upload a policy, put it in force, wait for what follows from it, and return its version."""
    request = world_service_pb2.UploadPolicyRequest(request_id=request_id(), world=world, yaml=yaml, activate=True)
    version = int(desk.worlds.UploadPolicy(request, timeout=CALL_SECONDS).policy.version)
    at_rest(desk, world)
    return version


def submit(desk: Desk, asked: Asked) -> submission_pb2.Submission:
    """Submit and return the submission as it ended."""
    accepted = desk.submissions.Submit(asked.request(), timeout=CALL_SECONDS).submission
    return ended(desk, accepted.submission_id)


def ended(desk: Desk, submission_id: str, seconds: float = CALL_SECONDS) -> submission_pb2.Submission:
    """Follow a submission to its end and return it."""
    request = submission_service_pb2.WatchSubmissionRequest(submission_id=submission_id)
    states = [each.submission for each in desk.submissions.WatchSubmission(request, timeout=seconds)]
    return states[-1]


def returns(mean: float = 0.002, seed: int = 1, bars: int = BARS) -> NDArray[np.float64]:
    """Return simple daily returns of 1 % volatility."""
    return np.random.default_rng(seed).normal(mean, 0.01, bars)


def evaluation_request(
    submission: submission_pb2.Submission, ret: NDArray[np.float64] | None = None, **fields: Any
) -> evaluation_service_pb2.EvaluateRequest:
    """Return the request that completes a submission: proven, with a target, unless ``fields`` say otherwise."""
    series = returns() if ret is None else ret
    closes = days(series.size)
    targets = arrow({"ts": closes[:1], "symbol": ["AAPL"], "weight": [0.5]})
    stated = {
        "request_id": request_id(),
        "world": submission.world,
        "strategy_id": submission.strategy_id,
        "strategy_version": submission.strategy_version,
        "submission_id": submission.submission_id,
        "execution_domain": submission.context.execution_domain,
        "as_of": submission.context.as_of,
        "dataset_fingerprint": submission.context.dataset_fingerprint,
        "effective_mode": submission.context.effective_mode,
        "returns": arrow({"ts": closes, "return": series}),
        "targets": targets,
        "proofs": evaluation_pb2.ProofReport(status=evaluation_pb2.PROOF_STATUS_PASSED, coverage=1.0),
        "code_version": "1.0.0",
        **fields,
    }
    return evaluation_service_pb2.EvaluateRequest(**stated)


def evaluate(
    desk: Desk, asked: Asked, ret: NDArray[np.float64] | None = None, **fields: Any
) -> evaluation_service_pb2.EvaluateResponse:
    """Submit and evaluate."""
    return desk.evaluations.Evaluate(evaluation_request(submit(desk, asked), ret, **fields), timeout=CALL_SECONDS)


def relayed_set(desk: Desk, world: str, runs: int) -> activation_pb2.ActivationSet:
    """Wait until the control stream has all events of a number of completed runs, and return the set that stands."""
    request = apply_service_pb2.GetActivationRequest(world=world)

    def read() -> activation_pb2.ActivationSet:
        return desk.applies.GetActivation(request, timeout=CALL_SECONDS).activation_set

    wait_until(lambda: read().sequence >= runs * EVENTS_OF_RUN)
    return read()


def at_rest(desk: Desk, world: str) -> world_service_pb2.GetWorldStatusResponse:
    """Wait until no apply run of a world is under way, and return its status."""
    wait_until(lambda: not world_status(desk, world).run_id)
    return world_status(desk, world)


def world_status(desk: Desk, world: str) -> world_service_pb2.GetWorldStatusResponse:
    """Return a world's status."""
    return desk.worlds.GetWorldStatus(world_service_pb2.GetWorldStatusRequest(world=world), timeout=CALL_SECONDS)


def metrics(address: str) -> dict[str, float]:
    """Return what ``/metrics`` exposes: by name, and ``name/value`` where a sample is labelled by one."""
    with urlopen(f"http://{address}/metrics", timeout=CALL_SECONDS) as answer:
        text = answer.read().decode()
    return {f"{name}/{label}" if label else name: float(value) for name, label, value in _SAMPLE.findall(text)}


def failed_rules(judged: evaluation_pb2.Evaluation | world_pb2.StrategyStatus) -> list[str]:
    """Return the rules that did not pass."""
    return [each.rule for each in judged.rules if not each.passed]


def update_world(desk: Desk, world: str, **change: Any) -> None:
    """Change fields of a world, the others stay; wait for what follows from it."""
    stated = desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world)).world
    for name in change:
        stated.ClearField(name)
    stated.MergeFrom(world_pb2.World(**change))
    desk.worlds.UpdateWorld(world_service_pb2.UpdateWorldRequest(request_id=request_id(), world=stated))
    at_rest(desk, world)


def listed_evaluations(desk: Desk, world: str) -> list[evaluation_pb2.Evaluation]:
    """Return a world's evaluations, the newest first."""
    return list(
        desk.evaluations.ListEvaluations(evaluation_service_pb2.ListEvaluationsRequest(world=world)).evaluations
    )
