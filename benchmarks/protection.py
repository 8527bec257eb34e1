"""What protecting and observing cost: ``Submit`` at gateways of one stack, each but one like the stack's own, in turns.

The encrypted one has an encrypted world service and DAG manager behind it; the traced one sends every span.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import grpc

from benchmarks.control_plane import POLICY, WORLD, Client, timed
from benchmarks.crossover import SmaCross, program
from benchmarks.gateways import another_gateway, another_service, bare
from benchmarks.local_stack import LocalStack, qmtl, running_stack
from benchmarks.measure import OURS, Findings, compare
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2_grpc
from qmtl_sdk import Runner
from qmtl_sdk.local.certificates import make_certificates, pair_of
from qmtl_sdk.submission.result import SubmitResult

ROUNDS: Final = 300
WARM_ROUNDS: Final = 30
ENCRYPTED: Final = "with TLS as well"
TRACED: Final = "with every span sent as well"
OPEN: Final = "without tokens and roles"
AGAIN: Final = "the same again, for the noise"


def run() -> Findings:
    """Run all of them on one stack."""
    with running_stack() as stack:
        preset = ("--preset", "sample_us_equity_1d", "--share-policy", "world")
        qmtl("world", "create", WORLD, *preset, "--mode", "paper", "--policy", str(POLICY))
        result = Runner.submit(SmaCross, world=WORLD)
        times = asyncio.run(_measured(stack, result))
    lines = (
        _line("TLS on every connection between services and clients", times, ENCRYPTED, OURS),
        _line("every span sent by OTLP", times, TRACED, OURS),
        _line("tokens verified, roles held", times, OURS, OPEN),
        _line("nothing: a second gateway like the first", times, AGAIN, OURS),
    )
    return Findings(lines)


def _line(what: str, times: Mapping[str, list[float]], mine: str, peer: str) -> Any:
    return compare(f"`Submit` answered, {what}", {OURS: times[mine], "without": times[peer]}, "without")


async def _measured(stack: LocalStack, result: SubmitResult) -> Mapping[str, list[float]]:
    assert result.decision is not None
    dag, as_of, fingerprint = program().dag_document(), result.decision.as_of, result.dataset_fingerprint
    async with _channels(stack) as channels:
        clients = {
            name: Client(
                submission_service_pb2_grpc.SubmissionServiceStub(channel), stack.metadata, dag, as_of, fingerprint
            )
            for name, channel in channels.items()
        }
        times: dict[str, list[float]] = {name: [] for name in clients}
        for number in range(WARM_ROUNDS + ROUNDS):
            first = number % len(clients)  # each comes first as often as the others
            for name in (*clients, *clients)[first : first + len(clients)]:
                client = clients[name]
                answer, elapsed = await timed(partial(client.submit, client.request("one")))
                await client.await_end(answer.submission.submission_id)
                if number >= WARM_ROUNDS:
                    times[name].append(elapsed)
    return times


@asynccontextmanager
async def _channels(stack: LocalStack) -> AsyncIterator[Mapping[str, grpc.aio.Channel]]:
    """Yield a channel to each gateway."""
    folder = stack.folder / "certificates"
    make_certificates(folder)
    authority = pair_of(folder, "ca").certificate
    async with AsyncExitStack() as opened:
        collector = await opened.enter_async_context(bare("benchmarks.collector"))
        settings: dict[str, str] = {**_certified(stack, "gateway")}
        for each in ("world", "dagmgr"):
            behind = another_service(stack, each, _certified(stack, each), f"qmtl_{each}")
            settings[f"QMTL_{each.upper()}_ADDRESS"] = (await opened.enter_async_context(behind)).address
        gateways = {
            AGAIN: another_gateway(stack, "again"),
            ENCRYPTED: another_gateway(stack, "encrypted", settings),
            TRACED: another_gateway(stack, "traced", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{collector}"}),
            OPEN: another_gateway(stack, "open", module="benchmarks.open_gateway"),
        }
        addresses = {OURS: stack.address("gateway")}
        for name, gateway in gateways.items():
            addresses[name] = (await opened.enter_async_context(gateway)).address
        sealed = grpc.ssl_channel_credentials(authority.read_bytes())
        yield {
            name: await opened.enter_async_context(
                grpc.aio.secure_channel(address, sealed) if name == ENCRYPTED else grpc.aio.insecure_channel(address)
            )
            for name, address in addresses.items()
        }


def _certified(stack: LocalStack, name: str) -> dict[str, str]:
    folder = stack.folder / "certificates"
    pair = pair_of(folder, name)
    return {
        "QMTL_TLS_CERTIFICATE": str(pair.certificate),
        "QMTL_TLS_KEY": str(pair.key),
        "QMTL_TLS_CA": str(pair_of(folder, "ca").certificate),
    }
