"""What makes two nodes the same."""

from __future__ import annotations

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import is_content_id
from qmtl_sdk.strategy import MatchMode, Node, StreamInput, TagQueryNode


def close(name: str = "bars") -> Node:
    """Return a new close node."""
    return StreamInput(name)["close"]


def doubled(view):  # type: ignore[no-untyped-def]  # an author's function, as authors write it
    """Double."""
    return view["value"].array() * 2


def counted(state, bar):  # type: ignore[no-untyped-def]  # an author's fold, as authors write it
    """Count."""
    return state + 1, state


def test_two_authors_same_expression_same_node() -> None:
    mine = (close().rolling_mean(10) > close().rolling_mean(50)).when(1.0, else_=0.0)
    other_bars = StreamInput("bars")
    price = other_bars["close"]
    fast, slow = price.rolling_mean(10), price.rolling_mean(50)
    assert mine.node_id == (fast > slow).when(1, 0).node_id
    assert is_content_id(mine.node_id)


def test_order_of_operands_counts() -> None:
    a, b = close("a"), close("b")
    assert (a - b).node_id != (b - a).node_id
    assert (a - 2).node_id != (2 - a).node_id
    assert (a > b).node_id != (b < a).node_id


def test_window_column_stream_interval_and_symbols_count() -> None:
    nodes = [
        close().rolling_mean(10),
        close().rolling_mean(11),
        StreamInput("bars")["open"].rolling_mean(10),
        close("other").rolling_mean(10),
        StreamInput("bars", interval="1h")["close"].rolling_mean(10),
        StreamInput("bars", symbols=["AAPL"])["close"].rolling_mean(10),
        close().symbol("AAPL").rolling_mean(10),
    ]
    assert len({node.node_id for node in nodes}) == len(nodes)


def test_names_and_tags_do_not_count() -> None:
    plain = Node(doubled, input=close(), period=1)
    named = Node(doubled, input=close(), period=1, name="twice", tags=["x"], tolerance=1e-6)
    assert plain.node_id == named.node_id


def test_operators_have_no_code_hash_and_functions_have_one() -> None:
    assert close().rolling_mean(10).identity.code_hash == ""
    assert Node(doubled, input=close(), period=1).identity.code_hash.startswith("blake3:")


def test_period_initial_and_warmup_count() -> None:
    assert Node(doubled, input=close(), period=1).node_id != Node(doubled, input=close(), period=2).node_id
    folds = [
        Node(counted, input=close(), initial=0),
        Node(counted, input=close(), initial=1),
        Node(counted, input=close(), initial=0, warmup=3),
        Node(counted, input=close(), initial=np.zeros(2)),
    ]
    assert len({fold.node_id for fold in folds}) == len(folds)


def test_state_without_canonical_form_is_refused_by_name() -> None:
    with pytest.raises(QmtlError, match="counted") as refused:
        _ = Node(counted, input=close(), initial=object()).node_id
    assert refused.value.reason is Reason.NO_CANONICAL_FORM


def test_tag_query_is_its_sorted_tags_mode_and_interval() -> None:
    assert TagQueryNode(["b", "a"]).node_id == TagQueryNode(["a", "b", "a"]).node_id
    queries = [
        TagQueryNode(["a", "b"]),
        TagQueryNode(["a"]),
        TagQueryNode(["a", "b"], match_mode=MatchMode.ALL),
        TagQueryNode(["a", "b"], interval="1h"),
    ]
    assert len({query.node_id for query in queries}) == len(queries)


def test_node_is_immutable() -> None:
    node = close()
    with pytest.raises(AttributeError, match="immutable"):
        node.period = 5
