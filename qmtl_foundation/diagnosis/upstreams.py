"""Whether the services that a service calls are there, ready, what they are taken for, and believe its token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.health import CHECK, SERVING
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.rpc.channel import ServiceChannel, ServiceToken, open_channel
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address, variable_of
from qmtl_foundation.tls import Certificates

CALL_SECONDS: Final = 5.0
NOBODYS: Final = "check"  # an id that no submission has


@dataclass(frozen=True, slots=True)
class Upstream:
    """Hold what a service is called, and a small read that it alone answers."""

    name: str
    method: str
    request: Any


UPSTREAMS: Final = {
    "world_address": Upstream(
        "world service",
        "/qmtl.world.v1.WorldService/ListWorlds",
        world_service_pb2.ListWorldsRequest(page_size=1),
    ),
    "dagmgr_address": Upstream(
        "DAG manager",
        "/qmtl.dataset.v1.DatasetService/ListPresets",
        dataset_service_pb2.ListPresetsRequest(page_size=1),
    ),
    "gateway_address": Upstream(
        "gateway",
        "/qmtl.submission.v1.SubmissionService/GetSubmission",
        submission_service_pb2.GetSubmissionRequest(submission_id=NOBODYS),
    ),
}


async def examine_upstream(
    setting: str, address: Address, token_file: str | None, certificates: Certificates | None
) -> list[Finding]:
    """Return how the service at an address is. Without a token that can be read only its health is looked at."""
    upstream, variable = UPSTREAMS[setting], variable_of(setting)
    try:
        token = None if token_file is None else ServiceToken(token_file)
        async with open_channel(address, token, certificates, apart=True) as channel:
            return [await _examine(channel, upstream, address, variable, is_known=token is not None)]
    except QmtlError as error:
        return [fault(upstream.name, error.message, f"mend {variable}")]


async def _examine(
    channel: ServiceChannel, upstream: Upstream, address: Address, variable: str, *, is_known: bool
) -> Finding:
    try:
        answer = await channel.unary_unary(CHECK)(b"", timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        return _away(upstream.name, address, variable, error)
    if answer != SERVING:
        return fault(upstream.name, f"{address} answers, and is not ready", "its log says what it waits for")
    if not is_known:
        return ok(upstream.name, f"{address} answers, and is ready; no token to call it with")
    try:
        await channel.unary_unary(upstream.method)(upstream.request.SerializeToString(), timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        return _answered(upstream.name, address, variable, error)
    return ok(upstream.name, f"{address} answers, is ready, and takes the token")


def _away(name: str, address: Address, variable: str, error: grpc.aio.AioRpcError) -> Finding:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return fault(name, f"{address} does not answer within {CALL_SECONDS:g} s", f"mend the way to it, or {variable}")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return fault(name, f"what answers at {address} is none of QMTL's services", f"mend {variable}")
    why = (error.details() or "").rpartition("last error: ")[2]
    if "handshake" in why.lower():
        mend = (
            f"have both signed by an authority of the other's QMTL_TLS_CA, and call it by a name of its own: {variable}"
        )
        return fault(name, f"{address} and this service do not trust each other ({why})", mend)
    return fault(name, f"{address} does not answer ({why})", f"start it, or mend {variable}")


def _answered(name: str, address: Address, variable: str, error: grpc.aio.AioRpcError) -> Finding:
    """Return what the answer to a read says of a service that is ready."""
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return fault(name, f"what answers at {address} is not the {name}", f"mend {variable}")
    refused = from_rpc_error(error)
    if refused.reason is Reason.SUBMISSION_NOT_FOUND:
        return ok(name, f"{address} answers, is ready, and takes the token")
    if refused.reason in {Reason.UNAUTHENTICATED, Reason.PERMISSION_DENIED}:
        mend = "give both the same QMTL_AUTH_…, and this service a token of that issuer"
        return fault(name, f"{address} refuses the token: {refused.message}", mend)
    return fault(name, f"{address} answers, and refuses a read: {refused.message}", "look into its log")
