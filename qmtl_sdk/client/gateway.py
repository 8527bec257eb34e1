"""The connection to a gateway: every call idempotent, so that it is repeated while the gateway is away.

All mutations carry a request id; a repetition under the same id has the same answer, on this gateway or another.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.events import SendRequest, listen
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol

from qmtl_foundation import tracing
from qmtl_foundation.auth.bearer import AUTHORIZATION, bearer
from qmtl_foundation.errors import RETRY_AFTER_MS, QmtlError, Reason, invalid_field
from qmtl_foundation.settings import Address
from qmtl_foundation.tracing import TRACEPARENT
from qmtl_sdk.client.codec import BoundedCodec
from qmtl_sdk.client.credential import TokenSource, token_source
from qmtl_sdk.client.encryption import CA_VARIABLE, tls_context
from qmtl_sdk.client.errors import StatusDetailsCodec, to_domain_error
from qmtl_sdk.settings import GATEWAY_VARIABLE

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.allocation.v1 import AllocationServiceStub
    from qmtl_sdk._pb.qmtl.apply.v1 import ApplyRun, ApplyServiceStub
    from qmtl_sdk._pb.qmtl.audit.v1 import AuditServiceStub
    from qmtl_sdk._pb.qmtl.control.v1 import SessionServiceStub
    from qmtl_sdk._pb.qmtl.dataset.v1 import DatasetServiceStub
    from qmtl_sdk._pb.qmtl.evaluation.v1 import EvaluationServiceStub
    from qmtl_sdk._pb.qmtl.order.v1 import OrderServiceStub
    from qmtl_sdk._pb.qmtl.submission.v1 import (
        Submission,
        SubmissionServiceStub,
        WatchSubmissionRequest,
        WatchSubmissionResponse,
    )
    from qmtl_sdk._pb.qmtl.world.v1 import WorldServiceStub

CALL_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 30.0  # how long calls are repeated while the gateway is away
FIRST_PATIENCE_SECONDS: Final = 2.0  # for one that has not answered yet
FIRST_RETRY_SECONDS: Final = 0.05
MAX_RETRY_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 10.0  # a watch that says nothing for as long is begun anew: its connection may be dead
FLOW_WINDOW_BYTES: Final = 4 * 1024 * 1024

Answer = TypeVar("Answer")

LOST: Final = (OSError, StreamTerminatedError, ProtocolError, TimeoutError)
_REPEATED: Final = frozenset({Reason.DEPENDENCY_UNAVAILABLE, Reason.RATE_LIMITED})


def gateway_address(given: str | None = None) -> Address:
    """Return the first of the gateways; raises as ``gateway_addresses``."""
    return gateway_addresses(given)[0]


def gateway_addresses(given: str | None = None) -> tuple[Address, ...]:
    """Return where gateways are, separated by commas: as given, else ``QMTL_GATEWAY``, else the local stack's.

    Raises QmtlError: INVALID_FIELD for what is no host:port, NOT_CONFIGURED when there is neither.
    """
    if given is not None and not isinstance(given, str):
        raise invalid_field("gateway", f"{given!r} is no text; write host:port")
    text = os.environ.get(GATEWAY_VARIABLE, "") if given is None else given
    if given is None and not text:
        from qmtl_sdk.local import state

        text = state.gateway_address(state.stated_dir())
    try:
        return tuple(Address.parse(each.strip()) for each in text.split(","))
    except ValueError as error:
        raise invalid_field("gateway", str(error)) from error


def new_request_id() -> str:
    """Return a fresh idempotency key."""
    return uuid.uuid4().hex


class Gateway:
    """Call a gateway's methods; failures are QmtlError. Open with ``connect``."""

    def __init__(self, channel: Channel, address: Address, patience_s: float) -> None:
        self._channel = channel
        self._address = address
        self._patience_s = patience_s
        self._reached = False  # a gateway that was never there is not worth waiting for

    @property
    def worlds(self) -> WorldServiceStub:
        """Return the stub of WorldService."""
        from qmtl_sdk._pb.qmtl.world.v1 import WorldServiceStub

        return WorldServiceStub(self._channel)

    @property
    def datasets(self) -> DatasetServiceStub:
        """Return the stub of DatasetService."""
        from qmtl_sdk._pb.qmtl.dataset.v1 import DatasetServiceStub

        return DatasetServiceStub(self._channel)

    @property
    def submissions(self) -> SubmissionServiceStub:
        """Return the stub of SubmissionService."""
        from qmtl_sdk._pb.qmtl.submission.v1 import SubmissionServiceStub

        return SubmissionServiceStub(self._channel)

    @property
    def evaluations(self) -> EvaluationServiceStub:
        """Return the stub of EvaluationService."""
        from qmtl_sdk._pb.qmtl.evaluation.v1 import EvaluationServiceStub

        return EvaluationServiceStub(self._channel)

    @property
    def allocations(self) -> AllocationServiceStub:
        """Return the stub of AllocationService."""
        from qmtl_sdk._pb.qmtl.allocation.v1 import AllocationServiceStub

        return AllocationServiceStub(self._channel)

    @property
    def audits(self) -> AuditServiceStub:
        """Return the stub of AuditService."""
        from qmtl_sdk._pb.qmtl.audit.v1 import AuditServiceStub

        return AuditServiceStub(self._channel)

    @property
    def applies(self) -> ApplyServiceStub:
        """Return the stub of ApplyService."""
        from qmtl_sdk._pb.qmtl.apply.v1 import ApplyServiceStub

        return ApplyServiceStub(self._channel)

    @property
    def sessions(self) -> SessionServiceStub:
        """Return the stub of SessionService."""
        from qmtl_sdk._pb.qmtl.control.v1 import SessionServiceStub

        return SessionServiceStub(self._channel)

    @property
    def orders(self) -> OrderServiceStub:
        """Return the stub of OrderService."""
        from qmtl_sdk._pb.qmtl.order.v1 import OrderServiceStub

        return OrderServiceStub(self._channel)

    async def call(self, send: Callable[[], Awaitable[Answer]], seconds: float = CALL_SECONDS) -> Answer:
        """Return what ``send`` answers, repeating it while the gateway, or what it stands on, is away.

        ``send`` is a call that may be repeated: a read, or a mutation under one request id. Each attempt may take
        ``seconds``.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        delay = FIRST_RETRY_SECONDS
        while True:
            error = QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "")
            try:
                async with asyncio.timeout(seconds):
                    answer = await send()
            except GRPCError as refused:
                self._reached = True
                error = to_domain_error(refused)
                if error.reason not in _REPEATED:
                    raise error from refused
            except LOST as lost:
                error = self.unreachable(lost)
                if error.reason not in _REPEATED:
                    raise error from lost
            else:
                self._reached = True
                return answer
            patience = self._patience_s if self._reached else min(self._patience_s, FIRST_PATIENCE_SECONDS)
            pause = max(delay, int(error.metadata.get(RETRY_AFTER_MS, "0")) / 1_000)
            if loop.time() + pause > began + patience:
                raise error
            await asyncio.sleep(pause)
            delay = min(2 * delay, MAX_RETRY_SECONDS)

    async def watch_submission(self, submission_id: str) -> AsyncIterator[Submission]:
        """Yield a submission's states to its end, watching again when the gateway went away meanwhile."""
        from qmtl_sdk._pb.qmtl.submission.v1 import SubmissionState, WatchSubmissionRequest

        request = WatchSubmissionRequest(submission_id=submission_id)
        ended = (SubmissionState.READY, SubmissionState.REJECTED)
        while True:
            watch, state = await self.call(lambda: self._watch_anew(request))
            while True:
                if state.submission is None:
                    raise QmtlError(Reason.INTERNAL, "the gateway sent a state without a submission")
                yield state.submission
                if state.submission.state in ended:
                    return
                try:
                    state = await anext(watch)
                except (StopAsyncIteration, *LOST, GRPCError):
                    break

    async def watch_apply(self, world: str, run_id: str) -> AsyncIterator[ApplyRun]:
        """Yield an apply run's states to its end; after a lost connection from the one seen last on."""
        run = await self._read_run(world, run_id)
        yield run
        while run.end_time is None:
            async with aclosing(self._newer_states(run)) as newer:
                async for run in newer:
                    yield run
            if run.end_time is None:
                await asyncio.sleep(FIRST_RETRY_SECONDS)
                before, run = run, await self._read_run(world, run_id)  # repeated while the gateway is away
                if run != before:
                    yield run

    async def _newer_states(self, run: ApplyRun) -> AsyncGenerator[ApplyRun, None]:
        """Yield what one watch tells of a run after a state of it, as long as the watch lives."""
        from qmtl_sdk._pb.qmtl.apply.v1 import WatchApplyRequest

        request = WatchApplyRequest(world=run.world, run_id=run.run_id, revision=run.revision)
        watch = self.applies.watch_apply(request)
        while True:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    state = await anext(watch)
            except (StopAsyncIteration, *LOST):
                return
            except GRPCError as refused:
                error = to_domain_error(refused)
                # A token that ended meanwhile may have been renewed; the next read says where it was not.
                if error.reason in _REPEATED or error.reason is Reason.UNAUTHENTICATED:
                    return
                raise error from refused
            yield stated_run(state.run)

    async def _read_run(self, world: str, run_id: str) -> ApplyRun:
        from qmtl_sdk._pb.qmtl.apply.v1 import GetApplyRequest

        request = GetApplyRequest(world=world, run_id=run_id)
        return stated_run((await self.call(lambda: self.applies.get_apply(request))).run)

    async def _watch_anew(
        self, request: WatchSubmissionRequest
    ) -> tuple[AsyncIterator[WatchSubmissionResponse], WatchSubmissionResponse]:
        """Begin a watch and return it with its first state; a watch that failed cannot be continued."""
        watch = self.submissions.watch_submission(request)
        try:
            return watch, await anext(watch)
        except StopAsyncIteration as ended:
            raise StreamTerminatedError("the watch ended before its first state") from ended

    def unreachable(self, lost: BaseException) -> QmtlError:
        """Return the error for a connection that was lost, or never made."""
        if isinstance(lost, ssl.SSLError):  # the certificate is not trusted, or nothing there speaks TLS
            return QmtlError(
                Reason.NOT_CONFIGURED,
                f"the connection to the gateway at {self._address} cannot be encrypted ({lost.reason or lost}); "
                f"{CA_VARIABLE} names the file of the authorities to trust",
                metadata={"setting": CA_VARIABLE, "address": str(self._address)},
            )
        return QmtlError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"the gateway at {self._address} does not answer ({type(lost).__name__}); "
            f"`qmtl up` starts or heals a local one, {GATEWAY_VARIABLE} names another",
            metadata={"dependency": "gateway", "address": str(self._address)},
        )


def stated_run(run: ApplyRun | None) -> ApplyRun:
    """Return the run of an answer. Raises QmtlError INTERNAL for an answer without one."""
    if run is None:
        raise QmtlError(Reason.INTERNAL, "the gateway answered without an apply run")
    return run


class _Checked(Channel):
    """Be a channel that says so when its connection ended as soon as it was made: grpclib would go on, and stumble."""

    async def __connect__(self) -> H2Protocol:
        protocol = await super().__connect__()
        if protocol.processor.connection.is_closing():
            raise ConnectionResetError("the connection ended as soon as it was made")
        return protocol


@asynccontextmanager
async def connect(
    address: Address, patience_s: float = PATIENCE_SECONDS, token: TokenSource | None = None
) -> AsyncIterator[Gateway]:
    """Yield a gateway client whose calls carry a token, by default the one that the environment names, and their trace.

    The connection is made at the first call. Raises QmtlError NOT_CONFIGURED for a token that cannot be read.
    """
    tell = token_source(address) if token is None else token

    async def state_caller(event: SendRequest) -> None:
        if stated := tell():
            event.metadata[AUTHORIZATION] = bearer(stated)
        if traceparent := tracing.current():
            event.metadata[TRACEPARENT] = traceparent

    config = Configuration(http2_connection_window_size=FLOW_WINDOW_BYTES, http2_stream_window_size=FLOW_WINDOW_BYTES)
    codec, details = BoundedCodec(), StatusDetailsCodec()
    channel = _Checked(
        address.host.strip("[]"),
        address.port,
        codec=codec,
        status_details_codec=details,
        config=config,
        ssl=tls_context(address),
    )
    listen(channel, SendRequest, state_caller)
    async with channel:
        yield Gateway(channel, address, patience_s)
