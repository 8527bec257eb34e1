"""Whether services do what they are asked, one small read each, and by whose fault they do not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from grpclib.exceptions import GRPCError

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk._pb.qmtl.dataset.v1 import ListPresetsRequest
from qmtl_sdk._pb.qmtl.submission.v1 import GetSubmissionRequest
from qmtl_sdk._pb.qmtl.world.v1 import ListWorldsRequest
from qmtl_sdk.client.credential import TokenSource
from qmtl_sdk.client.errors import to_domain_error
from qmtl_sdk.client.gateway import LOST, Gateway, connect
from qmtl_sdk.diagnosis.readiness import STANDS_ON

CALL_SECONDS: Final = 5.0
KEYS: Final = "keys"  # as services name the key set of their issuer among what they stand on
NOBODYS: Final = "doctor"  # an id that no submission has

# By what a refusal's metadata calls the fault of a token.
_TOKEN_MENDS: Final = {
    "expired": "take a new one from its issuer",
    "not_yet": "compare this machine's clock with the gateway's",
    "issuer": "take one from the issuer that the gateway believes (QMTL_AUTH_ISSUER)",
    "audience": "take one for the audience of the gateway (QMTL_AUTH_AUDIENCE)",
    "key": "its key is not in the gateway's key set: take a new one, or look at QMTL_AUTH_JWKS",
    "signature": "it was changed, or signed with another key: take a new one",
    "claims": "its issuer has to state iss, aud, sub, iat and exp, as texts and times",
    "algorithm": "its issuer has to sign by RS256, ES256 or EdDSA",
    "missing": "set QMTL_TOKEN_FILE, or QMTL_TOKEN",
}


async def examine_services(address: Address, token: TokenSource) -> list[Finding]:
    """Return how the gateway, the world service and the DAG manager answer."""
    async with connect(address, 0.0, token) as gateway:
        reads: dict[str, Callable[[], Awaitable[Any]]] = {
            "gateway": lambda: gateway.submissions.get_submission(
                GetSubmissionRequest(submission_id=NOBODYS), timeout=CALL_SECONDS
            ),
            "world service": lambda: gateway.worlds.list_worlds(ListWorldsRequest(page_size=1), timeout=CALL_SECONDS),
            "DAG manager": lambda: gateway.datasets.list_presets(ListPresetsRequest(page_size=1), timeout=CALL_SECONDS),
        }
        return [await _examine(gateway, name, read) for name, read in reads.items()]


async def _examine(gateway: Gateway, name: str, read: Callable[[], Awaitable[Any]]) -> Finding:
    try:
        await read()
    except TimeoutError:
        says = f"does not answer within {CALL_SECONDS:g} s"
        return fault(name, says, "it, or the gateway's way to it, stands still: look at its log and its machine")
    except GRPCError as refused:
        error = to_domain_error(refused)
    except LOST as lost:
        error = gateway.unreachable(lost)
    else:
        return ok(name, "answers")
    if error.reason is Reason.SUBMISSION_NOT_FOUND:
        return ok(name, "answers")
    return fault(name, error.message, _mend(error))


def _mend(error: QmtlError) -> str:
    if error.reason is Reason.UNAUTHENTICATED:
        given = error.metadata.get("fault", "")
        return _TOKEN_MENDS.get(given, "set QMTL_TOKEN_FILE to a file that holds a token alone")
    if error.reason is Reason.DEPENDENCY_UNAVAILABLE:
        away = error.metadata.get("dependency", "")
        if away == KEYS:
            return "it cannot read the keys of tokens: look at its QMTL_AUTH_JWKS, and at who serves it"
        return f"start {STANDS_ON.get(away, f'the {away}' if away else 'what it stands on')}, or mend the way to it"
    if error.reason is Reason.RATE_LIMITED:
        return "this caller asks more than it may: wait a moment"
    if error.reason is Reason.DEADLINE_EXCEEDED:
        return "it stands still or is overloaded: look at its log and its machine"
    return "look into the gateway's log"
