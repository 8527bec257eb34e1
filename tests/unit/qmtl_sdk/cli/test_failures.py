"""How failures are told: to people and to programs."""

from __future__ import annotations

import json

import pytest

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.failures import report_fault, report_interrupt, report_refusal
from qmtl_sdk.cli.session import OutputForm, Session

Captured = pytest.CaptureFixture[str]

PEOPLE = Session()
PROGRAMS = Session(OutputForm.JSON)


def refusal() -> QmtlError:
    bad = (FieldViolation("gates[0].rule", "3:42: unknown name"), FieldViolation("select", "is missing"))
    return QmtlError(Reason.INVALID_POLICY, "the policy is refused: 2 faults", metadata={"n": "2"}, violations=bad)


def test_every_bad_field_is_told_to_people(capsys: Captured) -> None:
    assert report_refusal(PEOPLE, refusal()) == ExitCode.REFUSED
    assert capsys.readouterr().err.splitlines() == [
        "error: the policy is refused: 2 faults",
        "  gates[0].rule: 3:42: unknown name",
        "  select: is missing",
    ]


def test_every_bad_field_is_told_to_programs(capsys: Captured) -> None:
    report_refusal(PROGRAMS, refusal())
    assert json.loads(capsys.readouterr().err) == {
        "error": {
            "reason": "INVALID_POLICY",
            "message": "the policy is refused: 2 faults",
            "metadata": {"n": "2"},
            "violations": [
                {"field": "gates[0].rule", "description": "3:42: unknown name"},
                {"field": "select", "description": "is missing"},
            ],
        }
    }


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.DEPENDENCY_UNAVAILABLE, 4),
        (Reason.NOT_CONFIGURED, 4),
        (Reason.DEADLINE_EXCEEDED, 5),
        (Reason.INTERNAL, 70),
        (Reason.STALE_ETAG, 1),
    ],
)
def test_reason_has_its_exit_code(reason: Reason, code: int) -> None:
    assert report_refusal(PEOPLE, QmtlError(reason, "no")) == code


def test_fault_of_our_own_shows_no_traceback_unasked(capsys: Captured) -> None:
    assert report_fault(PEOPLE, ValueError("odd")) == 70
    told = capsys.readouterr().err
    assert told.startswith("error: this is a fault of qmtl itself: ValueError: odd; run it again with --debug")
    assert len(told.splitlines()) == 1


def test_text_of_a_message_is_no_markup(capsys: Captured) -> None:
    report_refusal(PEOPLE, QmtlError(Reason.INVALID_FIELD, "node [red]peek[0][/] :smile: is bad"))
    assert capsys.readouterr().err == "error: node [red]peek[0][/] :smile: is bad\n"


def test_interrupt_is_told(capsys: Captured) -> None:
    assert report_interrupt(PROGRAMS) == 130
    assert json.loads(capsys.readouterr().err)["error"]["reason"] == "INTERRUPTED"
