from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmtl_sdk.data.blocks import DTYPES, Block, BlockError, pack, unpack

arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
)


@given(st.dictionaries(st.text(max_size=5), arrays, max_size=4))
def test_arrays_read_back_bit_for_bit_and_read_only(given_arrays: dict[str, np.ndarray]) -> None:
    block = unpack(pack(Block({"of": "test"}, given_arrays)))
    assert block.meta == {"of": "test"}
    assert list(block.arrays) == list(given_arrays)
    for name, array in given_arrays.items():
        back = block.arrays[name]
        assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert not back.flags.writeable


@given(st.integers(0, 300))
def test_cut_bytes_are_no_block(length: int) -> None:
    content = pack(Block({}, {"a": np.arange(40.0)}))
    with pytest.raises(BlockError):
        unpack(content[: min(length, len(content) - 65)])


def test_other_types_are_refused_by_name() -> None:
    with pytest.raises(BlockError, match="'a' is complex128"):
        pack(Block({}, {"a": np.zeros(1, dtype=complex)}))
