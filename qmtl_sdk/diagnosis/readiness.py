"""What a gateway says of what it stands on, by ``grpc.health.v1``; on bytes: its messages have one field each."""

from __future__ import annotations

from typing import Any, Final

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_foundation.health import CHECK, SERVING
from qmtl_foundation.settings import Address
from qmtl_sdk.client.encryption import CA_VARIABLE, CERTIFICATE_VARIABLE, tls_context
from qmtl_sdk.client.gateway import LOST

SPEECH: Final = "gRPC"
ANSWER_SECONDS: Final = 5.0
STANDS_ON: Final = {"postgres": "PostgreSQL", "nats": "NATS"}  # by the name under which a gateway serves its probe

_SERVICE: Final = 0x0A  # field 1 of HealthCheckRequest, a text


class _Bytes(CodecBase):
    """Pass messages as they are on the wire."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


async def examine_readiness(address: Address) -> list[Finding]:
    """Return whether a gateway speaks, and whether PostgreSQL and NATS answer it; nothing where it does not say."""
    context = tls_context(address)
    async with Channel(address.host.strip("[]"), address.port, codec=_Bytes(), ssl=context) as channel:
        check: UnaryUnaryMethod[bytes, bytes] = UnaryUnaryMethod(channel, CHECK, bytes, bytes)
        try:
            answers = {name: await check(_asking(name), timeout=ANSWER_SECONDS) for name in STANDS_ON}
        except GRPCError:  # a server, of another release
            return []
        except TimeoutError:
            says = f"{address} takes connections, and does not answer within {ANSWER_SECONDS:g} s"
            return [fault(SPEECH, says, "it stands still, or is no gateway: look at its log and its machine")]
        except LOST as lost:
            says = f"{address} does not speak gRPC{'' if context else ' without encryption'} ({type(lost).__name__})"
            needs = (
                f"A service behind it asks for {CERTIFICATE_VARIABLE}"
                if context
                else f"One with certificates needs {CA_VARIABLE}"
            )
            mend = f"is it the gateway's port? {needs}"
            return [fault(SPEECH, says, mend)]
    return [_found(STANDS_ON[name], answer == SERVING) for name, answer in answers.items()]


def _asking(name: str) -> bytes:
    return bytes([_SERVICE, len(name)]) + name.encode()


def _found(what: str, is_there: bool) -> Finding:
    if is_there:
        return ok(what, "answers the gateway")
    return fault(
        what, "does not answer the gateway", f"start {what}, or mend the way to it: the gateway's log says more"
    )
