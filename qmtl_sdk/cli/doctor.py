"""``qmtl doctor``: what is wrong between here and the services, and how it is mended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command

if TYPE_CHECKING:
    from qmtl_foundation.settings import Address
    from qmtl_sdk.diagnosis.finding import Finding


@command
def doctor(session: Session) -> int:
    """Look at each thing that a call needs: stack, connection, token, services; name the fault and the mend.

    Exit code 4 when something is wrong.
    """
    from qmtl_sdk.diagnosis.finding import Verdict

    found = _examined(session.gateway)
    document = [
        {"what": each.what, "verdict": each.verdict.value, "says": each.says, "mend": each.mend} for each in found
    ]
    session.answer({"findings": document}, _table(document))
    return ExitCode.UNREACHABLE if any(each.verdict is Verdict.FAULT for each in found) else ExitCode.OK


def _examined(stated: str) -> list[Finding]:
    """Return what was found of each gateway that is named."""
    from qmtl_foundation.errors import QmtlError
    from qmtl_sdk.client.gateway import gateway_addresses
    from qmtl_sdk.client.loop import run
    from qmtl_sdk.diagnosis.finding import fault

    try:
        addresses = gateway_addresses(stated or None)
    except QmtlError as error:
        return [fault("gateway's address", error.message, "start a local stack by `qmtl up`, or set QMTL_GATEWAY")]
    found = []
    for address in addresses:
        told = [*_local(address), *run(_far(address))]
        found += told if len(addresses) == 1 else [replace(each, what=f"{each.what} ({address})") for each in told]
    return found


async def _far(address: Address) -> list[Finding]:
    """Return what a call to a gateway needs, as far as one thing lets the next be looked at."""
    from qmtl_foundation.clock import utc_now
    from qmtl_foundation.errors import QmtlError
    from qmtl_sdk.client.credential import token_source
    from qmtl_sdk.diagnosis.connection import examine_connection
    from qmtl_sdk.diagnosis.finding import Verdict, fault
    from qmtl_sdk.diagnosis.readiness import SPEECH, examine_readiness
    from qmtl_sdk.diagnosis.services import examine_services
    from qmtl_sdk.diagnosis.token import examine_token, is_sendable

    found = [await examine_connection(address, utc_now())]
    speaks = found[0].verdict is not Verdict.FAULT
    if speaks:
        found += await examine_readiness(address)
        speaks = SPEECH not in {each.what for each in found}
    try:
        token = token_source(address)
    except QmtlError as error:
        return [*found, fault("token", error.message, "name a file that holds a token, readable by you")]
    found.append(examine_token(token(), utc_now()))
    if speaks and is_sendable(token()):
        found += await examine_services(address, token)
    return found


def _local(address: Address) -> list[Finding]:
    """Return how the local stack is where the gateway is its own."""
    from qmtl_foundation.errors import QmtlError
    from qmtl_foundation.settings import Address
    from qmtl_sdk.diagnosis.finding import fault
    from qmtl_sdk.diagnosis.stack import examine_stack
    from qmtl_sdk.local import state

    directory = state.stated_dir()
    try:
        own = state.load(state.Layout(directory)).endpoints.get("gateway")
        is_own = own is not None and address.is_loopback and Address.parse(own.address).port == address.port
        return examine_stack(directory) if is_own else []
    except QmtlError as error:  # what is remembered of the stack is damaged
        return [fault("local stack", error.message, "`qmtl up` heals it")]


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
