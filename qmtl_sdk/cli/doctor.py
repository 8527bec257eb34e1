"""``qmtl doctor``: what is wrong between here and the services, and how it is mended."""

from __future__ import annotations

from typing import Any

from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command


@command
def doctor(session: Session) -> int:
    """Look at each thing that a call needs: stack, connection, token, services; name the fault and the mend.

    Exit code 4 when something is wrong.
    """
    from qmtl_sdk.diagnosis.examination import examine
    from qmtl_sdk.diagnosis.finding import Verdict

    found = examine(session.gateway)
    document = [
        {"what": each.what, "verdict": each.verdict.value, "says": each.says, "mend": each.mend} for each in found
    ]
    session.answer({"findings": document}, _table(document))
    return ExitCode.UNREACHABLE if any(each.verdict is Verdict.FAULT for each in found) else ExitCode.OK


def _table(findings: list[dict[str, Any]]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "warning": "yellow", "fault": "red"}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "verdict", "found", "mend"):
        table.add_column(heading, overflow="fold")
    for each in findings:
        verdict = Text(each["verdict"], styles[each["verdict"]])
        table.add_row(each["what"], verdict, Text(each["says"]), Text(each["mend"]))
    return table
