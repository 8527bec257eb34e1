"""``qmtl.submission.v1.SubmissionService``."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

from opentelemetry.metrics import Counter

from qmtl_foundation.auth.caller import Role
from qmtl_foundation.dag import MAX_DAG_BYTES, Dag, parse_dag, parse_params
from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.identity import REQUEST_CONTEXT, bytes_id
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2 as pb
from qmtl_foundation.pb.qmtl.submission.v1.submission_service_pb2_grpc import SubmissionServiceServicer
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.postgres.signals import Signals, wait
from qmtl_foundation.requests import (
    REQUEST_ID,
    check_authored_name,
    check_content_id,
    check_request_id,
    check_resource_name,
    check_snapshot_text,
    check_strategy_id,
    not_found,
)
from qmtl_foundation.rpc.admission import caller
from qmtl_gateway.submission import ingest, store
from qmtl_gateway.submission.decisions import Decisions
from qmtl_gateway.submission.messages import to_context, to_decision, to_submission
from qmtl_gateway.submission.model import State, Submission, SubmissionOrder

INLINE_DAG_BYTES: Final = 16 * 1024  # larger ones are parsed off the event loop
POLL_SECONDS: Final = 1.0  # a watcher looks this often even without a signal
MAX_HINT: Final = 40

_log = logging.getLogger(__name__)


class SubmissionService(SubmissionServiceServicer):
    """Take strategies in."""

    def __init__(self, pool: Pool, bus: Bus, watchers: Signals, decisions: Decisions, mismatches: Counter) -> None:
        self._pool = pool
        self._bus = bus
        self._watchers = watchers
        self._decisions = decisions
        self._mismatches = mismatches

    async def Submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitResponse:
        """Check, store durably, answer."""
        request_id = check_request_id(request.request_id)
        order = await self._checked(request)
        request_hash = bytes_id(REQUEST_CONTEXT, request.SerializeToString(deterministic=True))
        taken = await store.take(self._pool, order, request_id, request_hash)
        if taken.state is State.PENDING:
            await ingest.append(self._bus, taken.submission_id)
        return pb.SubmitResponse(submission=to_submission(taken))

    async def GetSubmission(self, request: pb.GetSubmissionRequest, context: Any) -> pb.GetSubmissionResponse:
        """Read a submission."""
        submission = await self._readable(request.submission_id)
        return pb.GetSubmissionResponse(submission=to_submission(submission))

    async def WatchSubmission(
        self, request: pb.WatchSubmissionRequest, context: Any
    ) -> AsyncIterator[pb.WatchSubmissionResponse]:
        """Follow a submission to its end."""
        async with self._watchers.watching(request.submission_id) as ended:
            submission = await self._readable(request.submission_id)
            yield pb.WatchSubmissionResponse(submission=to_submission(submission))
            while submission.state is State.PENDING:
                await wait(ended, POLL_SECONDS)
                submission = await self._existing(request.submission_id)
                if submission.state is not State.PENDING:
                    yield pb.WatchSubmissionResponse(submission=to_submission(submission))

    async def ResolveContext(self, request: pb.ResolveContextRequest, context: Any) -> pb.ResolveContextResponse:
        """Resolve a compute context afresh."""
        world = check_resource_name("world", request.world)
        strategy_id = check_strategy_id(request.strategy_id)
        as_of, fingerprint = check_snapshot_text("as_of", request.as_of), _fingerprint(request.dataset_fingerprint)
        hint = _hint(request.mode)
        version = check_content_id("strategy_version", request.strategy_version)
        decision = await self._decisions.resolve(world, strategy_id, version)
        terms = self._decisions.derive(world, decision, hint=hint, as_of=as_of, dataset_fingerprint=fingerprint)
        return pb.ResolveContextResponse(
            context=to_context(terms), decision=None if decision is None else to_decision(decision)
        )

    async def _checked(self, request: pb.SubmitRequest) -> SubmissionOrder:
        author, name = check_authored_name("author", request.author), check_authored_name("name", request.name)
        dag = await self._parsed(request.dag)
        return SubmissionOrder(
            submission_id=uuid.uuid4().hex,
            world=check_resource_name("world", request.world),
            strategy_id=f"{author}/{name}",
            strategy_version=dag.version(parse_params(request.params)),
            document=request.dag,
            hint=_hint(request.mode),
            data_preset=check_resource_name("data_preset", request.data_preset) if request.data_preset else "",
            as_of=check_snapshot_text("as_of", request.as_of),
            dataset_fingerprint=_fingerprint(request.dataset_fingerprint),
        )

    async def _parsed(self, document: bytes) -> Dag:
        try:
            if INLINE_DAG_BYTES < len(document) <= MAX_DAG_BYTES:
                return await asyncio.to_thread(parse_dag, document)
            return parse_dag(document)
        except QmtlError as error:
            if error.reason is Reason.NODE_ID_MISMATCH:
                self._mismatches.add(1)
                _log.warning("%s sent a node under an id that is not its own: %s", caller().name, error.message)
            raise

    async def _readable(self, submission_id: str) -> Submission:
        """Return a submission of a world that the caller may read: its request names no world."""
        submission = await self._existing(submission_id)
        caller().check_world(Role.READER, submission.world)
        return submission

    async def _existing(self, submission_id: str) -> Submission:
        known = REQUEST_ID.fullmatch(submission_id) is not None
        submission = await store.read(self._pool, submission_id) if known else None
        if submission is None:
            mend = "`Submit` returns the ids there are"
            shown = submission_id[:80]
            raise not_found(Reason.SUBMISSION_NOT_FOUND, "submission", shown, mend, submission_id=shown)
        return submission


def _hint(text: str) -> str:
    if len(text) > MAX_HINT or not text.isprintable():
        raise invalid_field("mode", f"must be at most {MAX_HINT} printable characters, such as paper")
    return text


def _fingerprint(text: str) -> str:
    return check_content_id("dataset_fingerprint", text) if text else ""
