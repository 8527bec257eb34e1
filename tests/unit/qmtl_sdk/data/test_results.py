from __future__ import annotations

import dataclasses
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from qmtl_foundation.identity import ComputeContext, compute_key
from qmtl_sdk.data.results import Outcome, ResultCache

NODE = "blake3:" + "1" * 64
OTHER_NODE = "blake3:" + "2" * 64
HERE = ComputeContext(
    world="equity",
    execution_domain="backtest",
    as_of="2013-03-01T21:00:00Z",
    partition="2000-03-01/2013-03-02",
    dataset_fingerprint="blake3:" + "a" * 64,
    libraries={"numba": "0.62", "numpy": "2.4"},
)
ELSEWHERE = {
    "world": dataclasses.replace(HERE, world="crypto"),
    "execution_domain": dataclasses.replace(HERE, execution_domain="live"),
    "as_of": dataclasses.replace(HERE, as_of="2014-03-01T21:00:00Z"),
    "partition": dataclasses.replace(HERE, partition="2000-03-01/2014-03-02"),
    "dataset_fingerprint": dataclasses.replace(HERE, dataset_fingerprint="blake3:" + "b" * 64),
    "libraries": dataclasses.replace(HERE, libraries={"numba": "0.62", "numpy": "2.5"}),
}
VALUES = {"data": np.array([[1.0, np.nan], [-0.0, 2.5]])}


def entry(folder: Path, node: str, context: ComputeContext) -> Path:
    return folder / node.removeprefix("blake3:") / compute_key(node, context).removeprefix("blake3:")


def poison(folder: Path, node: str, computed_in: ComputeContext, found_under: ComputeContext) -> None:
    """Lay a result under the key of another context, as a wrong key or a copied file would."""
    ResultCache(folder).put(node, computed_in, VALUES)
    target = entry(folder, NODE, found_under)
    target.parent.mkdir(exist_ok=True)
    entry(folder, node, computed_in).rename(target)


def test_result_is_served_in_its_context_bit_for_bit(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.put(NODE, HERE, VALUES)
    lookup = cache.get(NODE, HERE)
    assert lookup.outcome is Outcome.HIT
    assert lookup.arrays is not None
    assert lookup.arrays["data"].tobytes() == VALUES["data"].tobytes()


@pytest.mark.parametrize("field", ELSEWHERE)
def test_same_node_in_another_context_is_a_plain_miss(tmp_path: Path, field: str) -> None:
    cache = ResultCache(tmp_path)
    cache.put(NODE, HERE, VALUES)
    assert cache.get(NODE, ELSEWHERE[field]).outcome is Outcome.MISS
    assert cache.cross_context_hits == 0


@pytest.mark.parametrize("field", ELSEWHERE)
def test_poisoned_entry_is_never_served_and_is_counted_and_reported(tmp_path: Path, field: str) -> None:
    poison(tmp_path, NODE, ELSEWHERE[field], HERE)
    cache = ResultCache(tmp_path)
    lookup = cache.get(NODE, HERE)
    assert lookup.outcome is Outcome.CROSS_CONTEXT
    assert lookup.arrays is None
    assert cache.cross_context_hits == 1
    assert lookup.cross_context is not None
    assert lookup.cross_context.compute_key == compute_key(NODE, HERE)
    assert [difference.field for difference in lookup.cross_context.differences] == [field]


def test_entry_of_another_node_under_the_key_is_a_cross_context_hit(tmp_path: Path) -> None:
    poison(tmp_path, OTHER_NODE, HERE, HERE)
    lookup = ResultCache(tmp_path).get(NODE, HERE)
    assert lookup.cross_context is not None
    assert [difference.field for difference in lookup.cross_context.differences] == ["node_id"]


def test_computing_again_ends_a_cross_context_entry(tmp_path: Path) -> None:
    poison(tmp_path, NODE, ELSEWHERE["world"], HERE)
    cache = ResultCache(tmp_path)
    assert cache.get(NODE, HERE).outcome is Outcome.CROSS_CONTEXT
    cache.put(NODE, HERE, VALUES)
    assert cache.get(NODE, HERE).outcome is Outcome.HIT


@pytest.mark.parametrize("at", [0, 20, 200, -70, -1])
def test_corrupted_entry_is_a_miss_and_is_removed(tmp_path: Path, at: int) -> None:
    cache = ResultCache(tmp_path)
    cache.put(NODE, HERE, VALUES)
    path = entry(tmp_path, NODE, HERE)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert cache.get(NODE, HERE).outcome is Outcome.MISS
    assert not path.exists()


def test_truncated_entry_is_a_miss(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.put(NODE, HERE, VALUES)
    entry(tmp_path, NODE, HERE).write_bytes(b"")
    assert cache.get(NODE, HERE).outcome is Outcome.MISS


def test_result_of_another_process_is_served(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=ResultCache(tmp_path).put, args=(NODE, HERE, VALUES))
    worker.start()
    worker.join()
    assert ResultCache(tmp_path).get(NODE, HERE).outcome is Outcome.HIT
