"""The dataset registry through the gateway, and the graph on the DAG manager's own address."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from qmtl_foundation.identity import NodeIdentity, bytes_id, node_id
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_pb2
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2 as pb
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.support.credentials import token_of
from tests.support.desk import (
    AS_OF,
    FINGERPRINT,
    LATER,
    Desk,
    dag_document,
    dial,
    document,
    fresh,
    node,
    refusal,
    register_data,
    register_preset,
)


@pytest.fixture(scope="module")
def dagmgr(parts: dict[str, ProcessStatus], stack: StackStatus) -> Iterator[Desk]:
    """Give a client of the DAG manager itself, as a gateway is one."""
    with dial(parts["dagmgr"].address, token_of(stack.state_dir)) as client:
        yield client


def newest(desk: Desk, preset: str, as_of: str = "") -> str:
    answer = desk.datasets.GetSnapshot(pb.GetSnapshotRequest(preset=preset, as_of=as_of))
    return str(answer.snapshot.as_of) if answer.HasField("snapshot") else ""


def merge(dagmgr: Desk, dag: bytes, strategy: str = "ann/Trend", version: str = "1") -> graph_service_pb2.DiffResponse:
    return dagmgr.graph.Diff(
        graph_service_pb2.DiffRequest(
            world="w", strategy_id=strategy, strategy_version=bytes_id("test", version.encode()), dag=dag
        )
    )


def test_a_preset_is_registered_once_and_never_changes(desk: Desk) -> None:
    name = fresh("preset")
    request = pb.RegisterPresetRequest(name=name, document=b'{"a":1}')
    first = desk.datasets.RegisterPreset(request).preset
    assert desk.datasets.RegisterPreset(request).preset == first
    assert desk.datasets.GetPreset(pb.GetPresetRequest(name=name)).preset == first
    request.document = b'{"a":2}'
    found = refusal(lambda: desk.datasets.RegisterPreset(request))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PRESET_EXISTS")
    assert desk.datasets.GetPreset(pb.GetPresetRequest(name=name)).preset == first


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1e999}', b"\xff"])
def test_a_preset_s_document_is_a_canonical_object(desk: Desk, text: bytes) -> None:
    found = refusal(lambda: desk.datasets.RegisterPreset(pb.RegisterPresetRequest(name="x", document=text)))
    assert (found.reason, found.fields) == ("INVALID_FIELD", ("document",))


def test_presets_are_listed_by_name_in_pages(desk: Desk) -> None:
    made = {fresh("listed") for _ in range(3)}
    for name in made:
        register_preset(desk, name)
    seen: list[str] = []
    token = ""
    while True:
        page = desk.datasets.ListPresets(pb.ListPresetsRequest(page_size=2, page_token=token))
        seen += [each.name for each in page.presets]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(set(seen))
    assert made <= set(seen)


def test_the_newest_snapshot_at_or_before_a_moment_is_found(desk: Desk) -> None:
    preset = register_data(desk)
    register_data(desk, LATER, preset)
    assert newest(desk, preset) == LATER
    assert newest(desk, preset, AS_OF) == AS_OF
    assert newest(desk, preset, "2013-03-03T00:00:00+05:00") == AS_OF
    assert newest(desk, preset, "2000-01-01T00:00:00Z") == ""
    assert refusal(lambda: newest(desk, preset, "soon")).fields == ("as_of",)
    assert refusal(lambda: newest(desk, "nothing")).reason == "PRESET_NOT_FOUND"


@pytest.mark.parametrize(
    ("field", "stated"),
    [
        ("snapshot.coverage", {"coverage": 1.5}),
        ("snapshot.coverage", {"coverage": float("nan")}),
        ("snapshot.bars", {"bars": 0}),
        ("snapshot.gaps", {"gaps": -1}),
        ("snapshot.fingerprint", {"fingerprint": "x"}),
        ("snapshot.as_of", {"as_of": "2013"}),
        ("snapshot.as_of", {"as_of": "2000-01-01T00:00:00Z"}),
        ("snapshot.end_time", {"end_time": 10**15}),
        ("snapshot.start_time", {"start_time": -(10**15)}),
    ],
)
def test_a_snapshot_that_cannot_be_is_refused_by_field(desk: Desk, field: str, stated: dict[str, Any]) -> None:
    snapshot = dataset_pb2.Snapshot(preset=register_data(desk), as_of=LATER, fingerprint=FINGERPRINT, bars=1)
    snapshot.start_time.FromJsonString(AS_OF)
    snapshot.end_time.FromJsonString(AS_OF)
    for name, value in stated.items():
        if name.endswith("_time"):
            getattr(snapshot, name).seconds = value
        else:
            setattr(snapshot, name, value)
    found = refusal(lambda: desk.datasets.RegisterSnapshot(pb.RegisterSnapshotRequest(snapshot=snapshot)))
    assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))


def test_a_version_merged_again_answers_the_same(dagmgr: Desk) -> None:
    dag = dag_document(3_001)
    first = merge(dagmgr, dag)
    assert merge(dagmgr, dag) == first
    assert first.nodes[1].known is False
    later = merge(dagmgr, dag, version="2")
    assert [each.known for each in later.nodes] == [True, True]
    assert later.version_number == first.version_number + 1


def test_equal_nodes_merged_at_once_are_one_node(dagmgr: Desk) -> None:
    dag = dag_document(3_002)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: merge(dagmgr, dag, f"ann/S{n % 4}", str(n)), range(24)))
    assert len({each.nodes[1].queue for each in answers}) == 1
    assert sum(not each.nodes[1].known for each in answers) == 1
    assert sorted(each.version_number for each in answers) == sorted([1, 2, 3, 4, 5, 6] * 4)


def test_a_node_is_read_as_it_was_submitted(dagmgr: Desk, desk: Desk) -> None:
    dag = dag_document(3_003)
    identifier = merge(dagmgr, dag).nodes[1].node_id
    found = desk.graph.GetNode(graph_service_pb2.GetNodeRequest(node_id=identifier)).node
    read = NodeIdentity(
        node_type=found.node_type,
        interval_s=found.interval_s,
        period=found.period,
        params={},
        inputs=tuple((each.argument, each.node_id) for each in found.inputs),
        schema_compat_id=found.schema_compat_id,
        code_hash=found.code_hash,
    )
    assert (found.params, node_id(read)) == (b"{}", identifier)


def test_a_graph_without_nodes_is_a_version_all_the_same(dagmgr: Desk) -> None:
    answer = merge(dagmgr, document([]), "ann/ReturnsOnly")
    assert (list(answer.nodes), answer.version_number) == ([], 1)


def test_a_large_graph_is_merged_whole(dagmgr: Desk) -> None:
    stream = node(NodeIdentity("stream/1", 86_400, 1, {"stream": "bars"}), "bars")
    inputs = (("x", str(stream["node_id"])),)
    nodes = [node(NodeIdentity("op.rolling_mean/1", 86_400, 10_000 + n, {}, inputs)) for n in range(1_000)]
    answer = merge(dagmgr, document([stream, *nodes]), "ann/Large")
    assert len(answer.nodes) == 1_001
    assert len({each.queue for each in answer.nodes}) == 1_001
