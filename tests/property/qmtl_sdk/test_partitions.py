"""Partitions: the content hash depends on the bars alone, and Parquet and the disk keep them bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmtl_foundation.identity import partition_hash
from qmtl_sdk.data.frames import parquet_partition, partition_parquet
from qmtl_sdk.data.partitions import Partition, by_year, entry_of, joined
from qmtl_sdk.data.sessions import BarGrid
from qmtl_sdk.data.times import DAY_NS

SYMBOLS = ("B", "A")
prices = st.one_of(st.just(float("nan")), st.floats(-1e9, 1e9).map(lambda value: value + 0.0))


@st.composite
def partitions(draw: st.DrawFn) -> Partition:
    steps = draw(st.lists(st.integers(1, 400), min_size=1, max_size=12))
    closes = np.cumsum(np.array(steps, dtype=np.int64)) * DAY_NS
    shape = (len(closes), len(SYMBOLS))
    columns = {name: draw(hnp.arrays(np.float64, shape, elements=prices)) for name in ("close", "opens_at")}
    return Partition(BarGrid(closes - DAY_NS // 2, closes, closes - DAY_NS), SYMBOLS, columns)


@given(partitions())
def test_parquet_and_canonical_bytes_keep_the_content(partition: Partition) -> None:
    content = partition.content()
    from_parquet = parquet_partition(partition_parquet(partition), ("close", "opens_at"))
    from_bytes = Partition.of_content(content, partition_hash(content))
    assert from_parquet is not None
    assert from_bytes is not None
    assert from_parquet.content() == from_bytes.content() == content


@given(partitions(), st.integers(0, 10_000))
def test_one_changed_bit_is_not_believed(partition: Partition, at: int) -> None:
    content = bytearray(partition.content())
    name = partition_hash(bytes(content))
    content[at % len(content)] ^= 1
    assert Partition.of_content(bytes(content), name) is None


@given(partitions())
def test_years_join_to_the_whole(partition: Partition) -> None:
    years = list(by_year(partition))
    assert joined([part for _, part in years]).content() == partition.content()
    for year, part in years:
        span = entry_of(year, part).span
        assert ((part.grid.closes > span.start) & (part.grid.closes <= span.end)).all()
