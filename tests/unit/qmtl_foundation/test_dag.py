"""Submitted DAGs: what is read, and that every malformed one is a typed refusal with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation.dag import MAX_DAG_BYTES, MAX_NODES, MAX_PARAMS_BYTES, parse_dag, parse_params
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import NodeIdentity, canonical_json, node_id
from tests.support.desk import dag_document, document, node

STREAM = NodeIdentity("stream/1", 60, 1, {"stream": "bars"})


def refused(text: bytes) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        parse_dag(text)
    return caught.value


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the usual document after a change of its JSON."""
    value = json.loads(dag_document())
    change(value)
    return json.dumps(value).encode()


def test_a_document_is_read_with_its_nodes_in_order() -> None:
    dag = parse_dag(dag_document(7))
    assert [each.name for each in dag.nodes] == ["bars", "mean"]
    assert dag.nodes[1].identity.inputs == (("x", dag.nodes[0].node_id),)
    assert dag.nodes[1].identity.period == 7
    assert (dag.outputs.kind, dag.outputs.panel) == ("target", dag.nodes[1].node_id)


def test_no_nodes_at_all_is_a_strategy_of_returns_only() -> None:
    dag = parse_dag(document([]))
    assert (dag.nodes, dag.outputs.kind) == ((), "none")
    assert dag.version({}) == parse_dag(document([])).version({})
    assert refused(document([]).replace(b'"none"', b'"target"')).metadata["field"] == "dag.outputs"


def test_the_version_follows_nodes_outputs_and_parameters_not_names() -> None:
    dag = parse_dag(dag_document())
    renamed = parse_dag(dag_document().replace(b'"name":"mean"', b'"name":"average"'))
    assert dag.version({"a": 1}) == renamed.version({"a": 1})
    signal = parse_dag(dag_document().replace(b'"kind":"target"', b'"kind":"signal"'))
    versions = {dag.version({"a": 1}), dag.version({"a": 2}), parse_dag(dag_document(6)).version({"a": 1})}
    assert len({*versions, signal.version({"a": 1})}) == 4


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("dag", b""),
        ("dag", b"{"),
        ("dag", b"[]"),
        ("dag", b"\xff\xfe"),
        ("dag", b'{"schema": NaN}'),
        ("dag", b'{"schema": 1, "schema": 2}'),
        ("dag", b"[" * 100_000),
        ("dag", b'{"a":' * 50_000),
        ("dag", b"9" * 5_000),
        ("dag", changed(lambda dag: dag.pop("outputs"))),
        ("dag", changed(lambda dag: dag.update(more=1))),
        ("dag.schema", changed(lambda dag: dag.update(schema="qmtl.dag/2"))),
        ("dag.nodes", changed(lambda dag: dag.update(nodes={}))),
        ("dag.nodes", changed(lambda dag: dag.update(nodes=[{}] * (MAX_NODES + 1)))),
        ("dag.nodes[0]", changed(lambda dag: dag["nodes"].__setitem__(0, 7))),
        ("dag.nodes[1]", changed(lambda dag: dag["nodes"][1].pop("tags"))),
        ("dag.nodes[1].interval_s", changed(lambda dag: dag["nodes"][1].update(interval_s=-1))),
        ("dag.nodes[1].interval_s", changed(lambda dag: dag["nodes"][1].update(interval_s=True))),
        ("dag.nodes[1].interval_s", changed(lambda dag: dag["nodes"][1].update(interval_s=1.5))),
        ("dag.nodes[1].interval_s", changed(lambda dag: dag["nodes"][1].update(interval_s=2**53))),
        ("dag.nodes[1].period", changed(lambda dag: dag["nodes"][1].update(period=0))),
        ("dag.nodes[1].params", changed(lambda dag: dag["nodes"][1].update(params=[]))),
        ("dag.nodes[1].node_type", changed(lambda dag: dag["nodes"][1].update(node_type=""))),
        ("dag.nodes[1].name", changed(lambda dag: dag["nodes"][1].update(name="x" * 201))),
        ("dag.nodes[1].name", changed(lambda dag: dag["nodes"][1].update(name="\0"))),
        ("dag.nodes[1].tags", changed(lambda dag: dag["nodes"][1].update(tags=["\ud800"]))),
        ("dag.nodes[1].node_id", changed(lambda dag: dag["nodes"][1].update(node_id="mean"))),
        ("dag.nodes[1].node_id", changed(lambda dag: dag["nodes"].__setitem__(1, dag["nodes"][0]))),
        ("dag.nodes[1].inputs", changed(lambda dag: dag["nodes"][1].update(inputs=[["x"]]))),
        ("dag.nodes[1].inputs", changed(lambda dag: dag["nodes"][1].update(inputs=[["x", "\ud800"]]))),
        ("dag.nodes[1].inputs", changed(lambda dag: dag["nodes"][1].update(inputs=[["x", "unknown"]]))),
        ("dag.outputs", changed(lambda dag: dag["outputs"].update(panel="unknown"))),
        ("dag.outputs", changed(lambda dag: dag["outputs"].update(panel=None))),
        ("dag.outputs.kind", changed(lambda dag: dag["outputs"].update(kind="orders"))),
        ("dag.outputs.by_symbol", changed(lambda dag: dag["outputs"].update(by_symbol=[[1, 2]]))),
    ],
)
def test_a_malformed_document_is_refused_at_its_place(field: str, text: bytes) -> None:
    error = refused(text)
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, field)
    error.message.encode()


@pytest.mark.parametrize(
    "change", [{"node_id": "blake3:" + "0" * 64}, {"crc32": 1}, {"period": 9}, {"params": {"a": 1}}]
)
def test_a_node_that_computes_to_another_id_is_refused_with_both(change: dict[str, Any]) -> None:
    error = refused(document([{**node(STREAM, "bars"), **change}]))
    assert error.reason is Reason.NODE_ID_MISMATCH
    expected = node_id(NodeIdentity("stream/1", 60, change.get("period", 1), change.get("params", STREAM.params)))
    assert (error.metadata["node"], error.metadata["expected"]) == ("bars", expected)


def test_an_input_that_does_not_stand_before_its_node_is_a_cycle() -> None:
    first = node(STREAM, "bars")
    second = node(NodeIdentity("op.mean/1", 60, 5, {}, (("x", str(first["node_id"])),)))
    assert refused(document([second, first])).reason is Reason.GRAPH_CYCLE
    own = "blake3:" + "1" * 64
    itself = {**node(STREAM), "node_id": own, "inputs": [["x", own]]}
    error = refused(document([itself]))
    assert (error.reason, error.metadata["node"]) == (Reason.GRAPH_CYCLE, own)


@pytest.mark.parametrize("value", ["1e999", "9007199254740992", '"\\ud800"', '{"\\ud800": 1}', "[" * 500 + "]" * 500])
def test_params_without_a_canonical_form_are_refused(value: str) -> None:
    text = document([node(NodeIdentity("stream/1", 60, 1, {"x": 1}))]).replace(b'"x":1', f'"x":{value}'.encode())
    assert refused(text).reason in {Reason.NO_CANONICAL_FORM, Reason.NODE_ID_MISMATCH}


def test_what_is_larger_than_its_limit_is_too_large() -> None:
    error = refused(b" " * (MAX_DAG_BYTES + 1))
    assert (error.reason, error.metadata) == (Reason.TOO_LARGE, {"field": "dag", "limit": str(MAX_DAG_BYTES)})
    big = document([node(NodeIdentity("stream/1", 60, 1, {"x": "y" * MAX_PARAMS_BYTES}))])
    assert (refused(big).reason, refused(big).metadata["field"]) == (Reason.TOO_LARGE, "dag.nodes[0].params")
    with pytest.raises(QmtlError, match="params has 10485760 bytes"):
        parse_params(b"x" * 10 * 1024 * 1024)


@pytest.mark.parametrize("text", [b"[]", b"{", b"1", b'{"a": Infinity}', b'{"a": 1, "a": 1}', b"\x00"])
def test_parameters_are_one_json_object(text: bytes) -> None:
    with pytest.raises(QmtlError) as caught:
        parse_params(text)
    assert caught.value.metadata["field"] == "params"


def test_whole_floats_beyond_the_integers_keep_their_canonical_form() -> None:
    for value in (2.0**53, 1e16, -1e18, 1e20, 1e21, 1.5e300):
        assert parse_params(canonical_json({"x": value})) == {"x": value}
        parse_dag(document([node(NodeIdentity("stream/1", 60, 1, {"x": value}))]))
    with pytest.raises(QmtlError, match="no canonical form"):
        parse_params(b'{"x": 9007199254740993}')


def test_no_parameters_are_none() -> None:
    assert parse_params(b"") == parse_params(b"{}") == {}


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with pytest.raises(QmtlError):
        parse_dag(text)


@given(st.data())
def test_a_document_with_one_value_changed_is_read_or_refused(data: st.DataObject) -> None:
    value = json.loads(dag_document())
    at = data.draw(st.sampled_from(sorted(value["nodes"][1])))
    value["nodes"][1][at] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([[]])
    )
    try:
        parse_dag(json.dumps(value).encode())
    except QmtlError as error:
        error.message.encode()
