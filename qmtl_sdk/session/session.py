"""A runner's session with whatever gateway is there, on a thread and an event loop of its own.

Nothing of an author's runs on that thread, so that heartbeats go out and a FREEZE is heard while a strategy computes.

1. Connect to the next address, say hello, take the welcome's snapshot (``_follow``).
2. Beat each second; hear events, renewals and reports, and acknowledge the events that were applied (``_hear``).
3. A gateway that says nothing for the gap timeout, or leaves the gate in doubt for so long, is left for the next one.
   The gate stays as it is meanwhile: its lease says until when.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from grpclib.exceptions import GRPCError
from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.client.errors import to_domain_error
from qmtl_sdk.client.gateway import FIRST_RETRY_SECONDS, LOST, MAX_RETRY_SECONDS, Gateway, connect
from qmtl_sdk.client.loop import SLICE_SECONDS
from qmtl_sdk.session.gate import GateState, OrderGate
from qmtl_sdk.session.model import Phase, Report, Runner, Stamp, Told, Wish
from qmtl_sdk.session.spans import Spans

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.control.v1 import FollowRequest, FollowResponse, Welcome

BEAT_SECONDS: Final = 1.0
GAP_SECONDS: Final = 3.0
WELCOME_SECONDS: Final = 5.0
PUBLISH_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0

# Another gateway, or a later moment, would say the same.
_FINAL: Final = frozenset(
    {
        Reason.INVALID_FIELD,
        Reason.PERMISSION_DENIED,
        Reason.WORLD_NOT_FOUND,
        Reason.STRATEGY_NOT_FOUND,
        Reason.METHOD_NOT_SERVED,
    }  # not UNAUTHENTICATED: a token that expired is renewed in its file
)
_IN_DOUBT: Final = (GateState.UNKNOWN, GateState.DOUBTFUL)

Outgoing = asyncio.Queue["FollowRequest | None"]
"""What the runner says; None ends it."""


class RunnerSession:
    """Hold a runner's gate and reports, and publish its intents. Open it with ``with``.

    ``addresses`` are gateways, tried in turn. ``report_position`` is the place behind which no report is known, None
    for whatever is new. Any call raises the QmtlError for which the session ended, if it did.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        runner: Runner,
        report_position: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = tuple(addresses)
        self._runner = runner
        self._position = report_position
        self._began_at = report_position
        self._set_back: int | None = None
        self._clock = clock
        self._gate = OrderGate(runner.strategy_id, runner.strategy_version, clock)
        self._reports: deque[Report] = deque()
        self._changed = threading.Condition()
        self._failure: QmtlError | None = None
        self._last_fault: QmtlError | None = None
        self._gateway: Gateway | None = None
        self._beats: dict[int, float] = {}  # when each unanswered heartbeat was sent
        self._doubt_since: float | None = None
        self._spans = Spans()
        self._loop = asyncio.new_event_loop()
        self._work: asyncio.Task[None] | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="qmtl-session", daemon=True)

    def __enter__(self) -> RunnerSession:
        """Begin the session; it connects by itself."""
        self._spans.open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the session and wait for its thread."""
        with suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(STOP_SECONDS)
        self._spans.close()

    # ---- For the strategy's thread

    @property
    def state(self) -> GateState:
        """Return whether the gate is open, or why not."""
        with self._changed:
            self._raise_failure()
            return self._gate.state()

    @property
    def fault(self) -> QmtlError | None:
        """Return why there is no connection now; None while there is one."""
        return self._last_fault

    def stamp(self) -> Stamp | None:
        """Return what to state on intents, None while the gate is closed."""
        with self._changed:
            self._raise_failure()
            return self._gate.stamp()

    @property
    def report_position(self) -> int | None:
        """Return the place behind which this session hears reports, None before its first welcome."""
        with self._changed:
            return self._began_at

    def wait(self, seconds: float = SLICE_SECONDS) -> None:
        """Wait until something was told, but not longer than ``seconds``: a lease ends without a word."""
        with self._changed:
            self._raise_failure()
            self._changed.wait(seconds)

    def reports(self) -> list[Report]:
        """Return the reports that came since the last call, oldest first; one may come again."""
        with self._changed:
            found = list(self._reports)
            self._reports.clear()
            return found

    def take_set_back(self) -> int | None:
        """Return, once, behind which place reports are heard now that their stream is another one; None if it is not.

        Reports that were returned before it are of the stream that is gone.
        """
        with self._changed:
            position, self._set_back = self._set_back, None
            return position

    def publish(self, wishes: Sequence[Wish], stamp: Stamp, *, live_consent: bool = False) -> None:
        """Publish wishes under a stamp, 1,000 at most; when this returns they stand in the order stream.

        Raises QmtlError: DEPENDENCY_UNAVAILABLE and DEADLINE_EXCEEDED where they may or may not be stored, others where
        they are not.
        """
        self.stamp()  # raises what ended the session
        with tracing.span("publish intents", "", SpanKind.CLIENT, {"qmtl.world": self._runner.world}, begins=True):
            self._await_published(self._publish(wishes, stamp, live_consent))

    def _await_published(self, publishing: Coroutine[Any, Any, None]) -> None:
        future = asyncio.run_coroutine_threadsafe(publishing, self._loop)
        try:
            while not concurrent.futures.wait([future], SLICE_SECONDS).done and self._thread.is_alive():
                pass
        except BaseException:
            future.cancel()
            raise
        if not future.done():
            raise _ended()
        future.result()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # ---- The session's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._work = self._loop.create_task(self._keep())
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._work)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _stop(self) -> None:
        self._stopping = True  # grpclib may turn a cancellation into the loss of a connection
        if self._work is not None:
            self._work.cancel()

    async def _keep(self) -> None:
        """Hold a session with one gateway after another."""
        delay = FIRST_RETRY_SECONDS
        for address in itertools.cycle(self._addresses):
            began = self._clock()
            try:
                async with connect(address, patience_s=0.0) as gateway:
                    await self._follow(gateway)
            except QmtlError as error:
                if error.reason in _FINAL:
                    self._fail(error)
                    return
                self._last_fault = error
            except Exception as error:  # a fault of ours must not end in silence: the strategy's thread raises it
                self._fail(QmtlError(Reason.INTERNAL, f"the session failed: {type(error).__name__}: {error}"))
                raise
            if self._stopping:
                return
            stood = self._clock() - began > MAX_RETRY_SECONDS
            delay = FIRST_RETRY_SECONDS if stood else min(2 * delay, MAX_RETRY_SECONDS)
            await asyncio.sleep(delay)

    async def _follow(self, gateway: Gateway) -> None:
        """Hold a session with one gateway until it ends, falls silent, or leaves the gate in doubt."""
        outgoing: Outgoing = asyncio.Queue()
        beating = None
        sent = self._clock()
        try:
            async with aclosing(gateway.sessions.follow(self._requests(outgoing))) as responses:  # type: ignore[type-var]  # an async generator, declared as an iterator
                first = await _next(responses, WELCOME_SECONDS)
                if first.welcome is None:
                    raise QmtlError(Reason.INTERNAL, "the gateway did not answer the hello with a welcome")
                self._welcome(first.welcome, first.trace, sent, outgoing)
                self._gateway, self._last_fault = gateway, None
                beating = asyncio.create_task(self._beat(outgoing))
                while not self._lingers_in_doubt():
                    self._hear(await _next(responses, GAP_SECONDS), outgoing)
        except GRPCError as refused:
            raise to_domain_error(refused) from refused
        except LOST as lost:
            raise gateway.unreachable(lost) from lost
        except StopAsyncIteration as ended:
            raise _ended() from ended
        finally:
            self._gateway = None
            outgoing.put_nowait(None)
            if beating is not None:
                beating.cancel()

    async def _requests(self, outgoing: Outgoing) -> AsyncIterator[FollowRequest]:
        from qmtl_sdk._pb.qmtl.control.v1 import FollowRequest, Hello

        hello = Hello(
            world=self._runner.world,
            strategy_id=self._runner.strategy_id,
            strategy_version=self._runner.strategy_version,
            incarnation=self._runner.incarnation,
            report_position=self._position,
        )
        yield FollowRequest(hello=hello)
        while (request := await outgoing.get()) is not None:
            yield request

    async def _beat(self, outgoing: Outgoing) -> None:
        from qmtl_sdk._pb.qmtl.control.v1 import FollowRequest, Heartbeat

        self._beats.clear()
        for number in itertools.count(1):
            self._beats[number] = self._clock()
            outgoing.put_nowait(FollowRequest(heartbeat=Heartbeat(number=number)))
            await asyncio.sleep(BEAT_SECONDS)

    def _welcome(self, welcome: Welcome, trace: str, sent: float, outgoing: Outgoing) -> None:
        from qmtl_sdk.session.messages import to_told

        began = utc_now()
        snapshot = None if welcome.snapshot is None else to_told(welcome.snapshot)
        self._doubt_since = None
        with self._changed:
            if self._position is not None and welcome.report_position < self._position:
                self._set_back = self._began_at = welcome.report_position  # the stream is another one
            self._position = welcome.report_position
            if self._began_at is None:
                self._began_at = self._position
            applied = self._gate.welcome(sent, welcome.ttl_ms / 1_000, snapshot)
            self._changed.notify_all()
        if applied and snapshot is not None:
            self._acknowledge(snapshot, outgoing)
            self._spans.followed(f"follow {snapshot.phase}", began, utc_now(), trace, self._runner.world)

    def _hear(self, response: FollowResponse, outgoing: Outgoing) -> None:
        from qmtl_sdk.session.messages import to_report, to_told

        with self._changed:
            if response.event is not None:
                self._apply(to_told(response.event), response.trace, outgoing)
            elif response.renewal is not None:
                renewal = response.renewal
                sent = self._beats.get(renewal.number)
                self._beats = {number: at for number, at in self._beats.items() if number > renewal.number}
                if sent is not None:
                    self._gate.renewed(sent, renewal.epoch, renewal.sequence)
            elif response.report is not None:
                report = to_report(response.report)
                self._position = max(self._position or 0, report.position)
                self._reports.append(report)
            self._changed.notify_all()

    def _apply(self, told: Told, trace: str, outgoing: Outgoing) -> None:
        began = utc_now()
        if self._gate.event(told):
            self._acknowledge(told, outgoing)
        self._spans.followed(f"follow {told.phase}", began, utc_now(), trace, self._runner.world)

    def _acknowledge(self, told: Told, outgoing: Outgoing) -> None:
        from qmtl_sdk._pb.qmtl.control.v1 import FollowRequest
        from qmtl_sdk.session.messages import to_acknowledgement

        if told.phase is not Phase.UNKNOWN:
            outgoing.put_nowait(FollowRequest(acknowledgement=to_acknowledgement(self._runner, told)))

    def _lingers_in_doubt(self) -> bool:
        """Tell whether the gate has been in doubt for the gap timeout: another session would say how things stand."""
        now = self._clock()
        with self._changed:
            in_doubt = self._gate.state() in _IN_DOUBT
        if not in_doubt:
            self._doubt_since = None
        elif self._doubt_since is None:
            self._doubt_since = now
        return self._doubt_since is not None and now - self._doubt_since >= GAP_SECONDS

    async def _publish(self, wishes: Sequence[Wish], stamp: Stamp, live_consent: bool) -> None:
        from qmtl_sdk.session.messages import to_publish

        gateway = self._gateway
        if gateway is None:
            raise self._last_fault or _ended()
        request = to_publish(self._runner, stamp, wishes, live_consent=live_consent)
        await gateway.call(lambda: gateway.orders.publish_intents(request), PUBLISH_SECONDS)

    def _fail(self, error: QmtlError) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()


async def _next(responses: AsyncIterator[FollowResponse], seconds: float) -> FollowResponse:
    async with asyncio.timeout(seconds):
        return await anext(responses)


def _ended() -> QmtlError:
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE, "there is no session with a gateway", metadata={"dependency": "gateway"}
    )
