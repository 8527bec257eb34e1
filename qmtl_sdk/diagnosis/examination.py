"""What is looked at of each gateway, in order: as far as one thing lets the next be looked at."""

from __future__ import annotations

from dataclasses import replace

from qmtl_foundation.clock import utc_now
from qmtl_foundation.diagnosis.finding import Finding, Verdict, fault
from qmtl_foundation.diagnosis.token import examine_token, is_sendable
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.settings import Address
from qmtl_sdk.client.credential import token_source
from qmtl_sdk.client.gateway import gateway_addresses
from qmtl_sdk.client.loop import run
from qmtl_sdk.diagnosis.connection import examine_connection
from qmtl_sdk.diagnosis.readiness import SPEECH, examine_readiness
from qmtl_sdk.diagnosis.services import examine_services
from qmtl_sdk.diagnosis.stack import examine_stack
from qmtl_sdk.local import state


def examine(stated: str) -> list[Finding]:
    """Return what was found of each gateway that is named: by ``stated``, else as every command finds it."""
    try:
        addresses = gateway_addresses(stated or None)
    except QmtlError as error:
        return [fault("gateway's address", error.message, "start a local stack by `qmtl up`, or set QMTL_GATEWAY")]
    found = []
    for address in addresses:
        told = [*_of_stack(address), *run(_of_gateway(address))]
        found += told if len(addresses) == 1 else [replace(each, what=f"{each.what} ({address})") for each in told]
    return found


def _of_stack(address: Address) -> list[Finding]:
    """Return how the local stack is where the gateway is its own."""
    try:
        return examine_stack(state.stated_dir()) if state.endpoints_of(address) else []
    except QmtlError as error:  # what is remembered of the stack is damaged
        return [fault("local stack", error.message, "`qmtl up` heals it")]


async def _of_gateway(address: Address) -> list[Finding]:
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
