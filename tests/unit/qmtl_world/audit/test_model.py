"""What an entry says: in one line, of bounded length."""

from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_world.audit.model import MAX_DETAIL, MAX_REASON, Cause, changing, read_cause, stating


def test_what_is_stated_is_one_line_without_empty_texts() -> None:
    assert stating({"mode": "paper", "allow_live": False, "fee_bp": 1.5, "description": ""}) == (
        "mode: paper, allow_live: false, fee_bp: 1.5"
    )


def test_only_what_changes_is_told() -> None:
    before = {"mode": "paper", "allow_live": False, "description": "old"}
    assert changing(before, {**before, "allow_live": True}) == "allow_live: false -> true"
    assert changing(before, {**before, "description": ""}) == 'description: old -> ""'
    assert changing(before, before) == ""


def test_a_long_line_is_cut() -> None:
    line = stating({"text": "x" * 2 * MAX_DETAIL})
    assert len(line) == MAX_DETAIL
    assert line.endswith("…")


def test_a_reason_is_one_line_of_bounded_length() -> None:
    assert read_cause("ana", "why") == Cause("ana", "why")
    for reason in ("two\nlines", "x" * (MAX_REASON + 1)):
        with pytest.raises(QmtlError, match="one line of at most 200 characters") as refused:
            read_cause("ana", reason)
        assert refused.value.reason is Reason.INVALID_FIELD
