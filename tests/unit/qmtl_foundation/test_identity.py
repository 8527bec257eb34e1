"""Identities: pinned, so that no release changes them unnoticed; every field counts, and so does order."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation.identity import (
    NODE_CONTEXT,
    ComputeContext,
    EvaluationIdentity,
    NoCanonicalFormError,
    NodeIdentity,
    bytes_id,
    canonical_json,
    compute_key,
    content_id,
    dataset_fingerprint,
    eval_key,
    intent_id,
    is_content_id,
    node_crc32,
    node_id,
    partition_hash,
    strategy_version,
)

STREAM = NodeIdentity("stream/1", 86_400, 1, {"stream": "bars"})
MEAN = NodeIdentity("op.rolling_mean/1", 86_400, 10, {"window": 10}, (("x", node_id(STREAM)),))
CONTEXT = ComputeContext("w", "backtest", "2013-03-01T21:00:00Z", "p", "blake3:" + "0" * 64, {"numpy": "2.0"})
EVALUATION = EvaluationIdentity("v", "w", "backtest", 1, {"fill": "close"}, "d", "s", "1.0", "r")

BAR = datetime(2026, 1, 5, 21, tzinfo=UTC)

scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8"))
documents = st.recursive(
    scalars | st.floats(-1e15, 1e15),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_ids_are_pinned() -> None:
    assert node_id(STREAM) == "blake3:bd44c89833a12a32ea848b87d7093420f586453e281e0fe2d967e15a9b481a81"
    assert node_id(MEAN) == "blake3:51e8742d89e8e85de49a28e7e333fc5633a77687b000ac3d70629c9bd28f82f6"
    assert node_crc32(node_id(MEAN)) == 175_560_027
    assert (
        compute_key(node_id(MEAN), CONTEXT) == "blake3:189fe7b7f960c55471879fe55967a24602b93efaf7a783a672de81c266412ae8"
    )
    assert eval_key(EVALUATION) == "blake3:3b46445bfaf7e4d01ea6b70c4701a2c4a9ed9fd10077214cbc7404d4bf157090"
    assert (
        dataset_fingerprint("qmtl.bars/1", ["A", "B"], 60, [partition_hash(b"x")])
        == "blake3:ebf3c2892906f46153935dbf6a6b0404cd3ccac6df960cf17364ae91f9b2f363"
    )
    assert (
        strategy_version({"nodes": []}, {"fast": 10})
        == "blake3:5ad947a00e562a074cf10733c3c04f222d965383e3f33648ff7a98fd1883239f"
    )
    assert (
        intent_id("equity", "ann/Trend", BAR, "AAPL")
        == "blake3:f55372838695ee24fd87d6c4203b1a248db48b856b20c2f7782a5ebec7db3537"
    )


def test_an_intent_is_the_same_wish_in_every_time_zone_and_another_at_every_other_place() -> None:
    known = intent_id("equity", "ann/Trend", BAR, "AAPL")
    assert intent_id("equity", "ann/Trend", BAR.astimezone(timezone(timedelta(hours=9))), "AAPL") == known
    others = {
        intent_id("macro", "ann/Trend", BAR, "AAPL"),
        intent_id("equity", "bob/Trend", BAR, "AAPL"),
        intent_id("equity", "ann/Trend", BAR + timedelta(microseconds=1), "AAPL"),
        intent_id("equity", "ann/Trend", BAR, "MSFT"),
    }
    assert len(others - {known}) == 4


def test_an_id_is_blake3_in_derive_key_mode_over_canonical_json() -> None:
    text = b'{"a":[1,"\xc3\xa9"],"b":1.5}'
    assert canonical_json({"b": 1.5, "a": [1, "é"]}) == text
    expected = blake3.blake3(text, derive_key_context=NODE_CONTEXT).hexdigest()
    assert content_id(NODE_CONTEXT, {"a": [1, "é"], "b": 1.5}) == f"blake3:{expected}"


def test_the_order_of_inputs_counts_and_that_of_keys_does_not() -> None:
    a, b = node_id(STREAM), node_id(MEAN)
    minus = NodeIdentity("op.sub/1", 60, 1, {}, (("left", a), ("right", b)))
    assert node_id(minus) != node_id(replace(minus, inputs=(("left", b), ("right", a))))
    assert node_id(minus) != node_id(replace(minus, inputs=tuple(reversed(minus.inputs))))
    one, two = {"x": 1, "y": 2}, {"y": 2, "x": 1}
    assert node_id(replace(minus, params=one)) == node_id(replace(minus, params=two))


@pytest.mark.parametrize(
    ("identity", "changed", "key"),
    [
        (MEAN, {"node_type": "op.rolling_mean/2", "interval_s": 60, "period": 11, "params": {"window": 11}}, node_id),
        (MEAN, {"inputs": (), "schema_compat_id": "qmtl.bars/2", "code_hash": "blake3:1"}, node_id),
        (
            EVALUATION,
            {each.name: {"fill": "open"} if each.name == "execution_model" else 9 for each in fields(EVALUATION)},
            eval_key,
        ),
        (
            CONTEXT,
            {each.name: {"numpy": "2.1"} if each.name == "libraries" else "other" for each in fields(CONTEXT)},
            lambda context: compute_key("n", context),
        ),
    ],
)
def test_every_field_counts(identity: Any, changed: dict[str, Any], key: Any) -> None:
    keys = {key(identity)} | {key(replace(identity, **{name: value})) for name, value in changed.items()}
    assert len(keys) == len(changed) + 1


def test_the_parts_of_a_dataset_are_ordered() -> None:
    def of(symbols: list[str], parts: list[str]) -> str:
        return dataset_fingerprint("s", symbols, 60, parts)

    assert len({of(["A", "B"], ["1", "2"]), of(["B", "A"], ["1", "2"]), of(["A", "B"], ["2", "1"])}) == 3


def test_equal_content_in_two_contexts_has_two_ids() -> None:
    assert bytes_id("one", b"x") != bytes_id("two", b"x")


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2**53,
        -(2**53),
        "\ud800",
        {"\udfff": 1},
        {1: "x"},
        b"bytes",
        {1, 2},
        object(),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    for place in (value, [value], {"k": value}):
        with pytest.raises(NoCanonicalFormError):
            canonical_json(place)


def test_a_value_too_deep_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NoCanonicalFormError):
        canonical_json(deep)


@given(documents)
def test_canonical_json_reads_back_and_is_its_own_canonical_form(document: Any) -> None:
    text = canonical_json(document)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), scalars, max_size=6), st.randoms())
def test_the_order_in_which_keys_were_written_does_not_matter(document: dict[str, Any], chance: Any) -> None:
    items = list(document.items())
    chance.shuffle(items)
    assert content_id("c", dict(items)) == content_id("c", document)


@given(st.text())
def test_only_ids_of_ours_look_like_ids(text: str) -> None:
    assert is_content_id(bytes_id("c", text.encode("utf-8", "replace")))
    assert not is_content_id(text)
