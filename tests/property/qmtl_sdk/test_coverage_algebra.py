"""The coverage algebra against sets of integers: every law is checked instant by instant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmtl_sdk.data.coverage import Coverage, Interval

LIMIT = 40


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    start = draw(st.integers(0, LIMIT - 1))
    return Interval(start, draw(st.integers(start + 1, LIMIT)))


coverages = st.lists(intervals(), max_size=8).map(Coverage)


def instants(coverage: Coverage) -> set[int]:
    return {instant for span in coverage.intervals for instant in range(span.start, span.end)}


@given(st.lists(intervals(), max_size=8))
def test_canonical_form_keeps_instants_and_neither_overlaps_nor_touches(spans: list[Interval]) -> None:
    coverage = Coverage(spans)
    assert instants(coverage) == {instant for span in spans for instant in range(span.start, span.end)}
    assert all(a.end < b.start for a, b in zip(coverage.intervals, coverage.intervals[1:], strict=False))


@given(coverages, coverages)
def test_operations_equal_those_of_sets(a: Coverage, b: Coverage) -> None:
    assert instants(a | b) == instants(a) | instants(b)
    assert instants(a & b) == instants(a) & instants(b)
    assert instants(a - b) == instants(a) - instants(b)


@given(coverages, coverages)
def test_equal_instants_are_equal_coverages(a: Coverage, b: Coverage) -> None:
    assert (a == b) == (instants(a) == instants(b))
    assert (a - b) | (a & b) == a


@given(coverages, intervals())
def test_gaps_are_what_of_the_span_is_not_covered(coverage: Coverage, within: Interval) -> None:
    gaps = coverage.gaps(within)
    assert instants(gaps) == set(range(within.start, within.end)) - instants(coverage)


@given(coverages, st.integers(-1, LIMIT + 1))
def test_membership_is_half_open(coverage: Coverage, instant: int) -> None:
    assert (instant in coverage) == (instant in instants(coverage))
