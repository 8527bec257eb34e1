"""What ``qmtl doctor`` says of a token, without its key."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from qmtl_foundation.diagnosis.finding import Verdict
from qmtl_foundation.diagnosis.token import examine_token, is_sendable

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEY = "a key that nobody asks for here, long enough"


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "ana", **claims}, KEY, "HS256")


@pytest.mark.parametrize(
    ("text", "verdict", "says"),
    [
        (token(exp=NOW + timedelta(hours=3)), Verdict.OK, "of ana, ends in 3 h"),
        (token(exp=NOW + timedelta(days=30, hours=1)), Verdict.OK, "of ana, ends in 30 d"),
        (token(exp=NOW + timedelta(minutes=3)), Verdict.WARNING, "of ana, ends in 3 min"),
        (
            token(exp=NOW - timedelta(seconds=20)),
            Verdict.WARNING,
            "of ana, ended 20 s ago, and is taken as far as clocks may differ",
        ),
        (
            token(exp=NOW - timedelta(seconds=31)),
            Verdict.FAULT,
            "of ana, ended at 2026-11-30T11:59:29Z, 31 s ago",
        ),
        (token(exp=NOW - timedelta(hours=5)), Verdict.FAULT, "of ana, ended at 2026-11-30T07:00:00Z, 5 h ago"),
        (
            token(exp=NOW + timedelta(hours=3), nbf=NOW + timedelta(seconds=90)),
            Verdict.FAULT,
            "of ana, begins at 2026-11-30T12:01:30Z, in 90 s",
        ),
        (token(), Verdict.FAULT, "of ana, says no end (exp), and is refused for it"),
        (token(exp=NOW + timedelta(hours=3), sub=""), Verdict.OK, "of nobody by name, ends in 3 h"),
        ("", Verdict.FAULT, "there is none"),
        ("secret", Verdict.FAULT, "it is no JSON Web Token"),
        ("a.b.c", Verdict.FAULT, "it is no JSON Web Token"),
        (f"a.{base64.urlsafe_b64encode(b'[' * 100_000).decode()}.c", Verdict.FAULT, "it is no JSON Web Token"),
        ("a.W10.c", Verdict.FAULT, "it is no JSON Web Token"),
        ("a.\N{SNOWMAN}.c", Verdict.FAULT, "it is no JSON Web Token"),
    ],
)
def test_a_token_is_read(text: str, verdict: Verdict, says: str) -> None:
    found = examine_token(text, NOW)
    assert (found.verdict, found.says) == (verdict, says)
    assert bool(found.mend) == (verdict is not Verdict.OK)


@pytest.mark.parametrize("end", [True, "tomorrow", 1e300, float("nan"), [1]])
def test_an_end_that_is_no_time_is_none(end: Any) -> None:
    text = jwt.api_jws.encode(json.dumps({"sub": "ana", "exp": end}).encode(), KEY, "HS256")
    assert "says no end" in examine_token(text, NOW).says


@pytest.mark.parametrize(("text", "sendable"), [("a.b.c", True), ("a\nb", False), ("a\0b", False), ("é", False)])
def test_what_cannot_stand_in_metadata_is_known(text: str, sendable: bool) -> None:
    assert is_sendable(text) == sendable
