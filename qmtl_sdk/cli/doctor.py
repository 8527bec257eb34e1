"""``qmtl doctor``: what is wrong between here and the services, and how it is mended."""

from __future__ import annotations

from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command


@command
def doctor(session: Session) -> int:
    """Look at each thing that a call needs: stack, connection, token, services; name the fault and the mend.

    Exit code 4 when something is wrong.
    """
    from qmtl_foundation.diagnosis.finding import document, has_fault, table
    from qmtl_sdk.diagnosis.examination import examine

    found = examine(session.gateway)
    session.answer(document(found), table(found))
    return ExitCode.UNREACHABLE if has_fault(found) else ExitCode.OK
