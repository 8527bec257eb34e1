"""Submissions as messages of the contract: what clients are told, and what the other services are asked."""

from __future__ import annotations

from qmtl_foundation.execution_domain import parse_mode
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_pb2, graph_service_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from qmtl_foundation.rpc.modes import mode_text, to_domain, to_mode, to_reason
from qmtl_foundation.rpc.timestamps import to_datetime, to_timestamp
from qmtl_gateway.submission.model import (
    Dataset,
    Decision,
    NodeResolution,
    Ready,
    Rejected,
    State,
    Submission,
    SubmissionOrder,
    Terms,
)

_STATES = {
    State.PENDING: submission_pb2.SUBMISSION_STATE_PENDING,
    State.READY: submission_pb2.SUBMISSION_STATE_READY,
    State.REJECTED: submission_pb2.SUBMISSION_STATE_REJECTED,
}


def to_submission(submission: Submission) -> submission_pb2.Submission:
    """Return the message of a submission."""
    message = submission_pb2.Submission(
        submission_id=submission.submission_id,
        world=submission.world,
        strategy_id=submission.strategy_id,
        strategy_version=submission.strategy_version,
        state=_STATES[submission.state],
        accept_time=to_timestamp(submission.accept_time),
        end_time=None if submission.end_time is None else to_timestamp(submission.end_time),
    )
    match submission.outcome:
        case Ready(nodes, decision, terms):
            message.nodes.extend(
                graph_pb2.NodeResolution(node_id=each.node_id, known=each.known, queue=each.queue) for each in nodes
            )
            message.decision.CopyFrom(to_decision(decision))
            message.context.CopyFrom(to_context(terms))
        case Rejected(reason, text, metadata):
            message.error.CopyFrom(submission_pb2.SubmissionError(reason=reason, message=text, metadata=dict(metadata)))
        case None:
            pass
    return message


def to_decision(decision: Decision) -> world_pb2.Decision:
    """Return the message of a decision; a mode that is not known goes out as unspecified."""
    mode = parse_mode(decision.effective_mode)
    return world_pb2.Decision(
        world=decision.world,
        strategy_id=decision.strategy_id,
        effective_mode=execution_pb2.EFFECTIVE_MODE_UNSPECIFIED if mode is None else to_mode(mode),
        reason=decision.reason,
        policy_version=decision.policy_version,
        as_of=decision.as_of,
        expire_time=to_timestamp(decision.expire_time),
        etag=decision.etag,
        allow_live=decision.allow_live,
    )


def to_context(terms: Terms) -> execution_pb2.ComputeContext:
    """Return the message of a compute context."""
    return execution_pb2.ComputeContext(
        world=terms.world,
        execution_domain=to_domain(terms.context.domain),
        effective_mode=to_mode(terms.context.mode),
        as_of=terms.as_of,
        dataset_fingerprint=terms.dataset_fingerprint,
        downgraded=terms.context.downgraded,
        downgrade_reasons=[to_reason(reason) for reason in terms.context.reasons],
        safe_mode=terms.context.safe_mode,
        expire_time=to_timestamp(terms.expire_time),
    )


def from_decision(message: world_pb2.Decision) -> Decision:
    """Return the world's decision that a message holds."""
    return Decision(
        world=message.world,
        strategy_id=message.strategy_id,
        effective_mode=mode_text(message.effective_mode),
        reason=message.reason,
        policy_version=message.policy_version,
        as_of=message.as_of,
        expire_time=to_datetime(message.expire_time),
        etag=message.etag,
        allow_live=message.allow_live,
    )


def to_get_world(world: str) -> world_service_pb2.GetWorldRequest:
    """Return the request for a world."""
    return world_service_pb2.GetWorldRequest(world=world)


def from_world(answer: world_service_pb2.GetWorldResponse) -> str:
    """Return the name of the data preset that a world states."""
    return answer.world.data_preset


def to_decide(world: str, strategy_id: str, strategy_version: str) -> world_service_pb2.GetDecisionRequest:
    """Return the request for a fresh decision."""
    return world_service_pb2.GetDecisionRequest(world=world, strategy_id=strategy_id, strategy_version=strategy_version)


def to_bind(order: SubmissionOrder, dataset: Dataset) -> world_service_pb2.BindStrategyRequest:
    """Return the request that binds a strategy version to its world."""
    return world_service_pb2.BindStrategyRequest(
        submission_id=order.submission_id,
        world=order.world,
        strategy_id=order.strategy_id,
        strategy_version=order.strategy_version,
        dataset=world_pb2.BoundDataset(
            preset=dataset.preset,
            as_of=dataset.as_of,
            fingerprint=dataset.fingerprint,
            newest_as_of=dataset.newest_as_of,
            end_time=None if dataset.end_time is None else to_timestamp(dataset.end_time),
            coverage=dataset.coverage,
            gaps=dataset.gaps,
        ),
        mode=order.hint,
    )


def to_diff(order: SubmissionOrder) -> graph_service_pb2.DiffRequest:
    """Return the request that merges a strategy version into the graph."""
    return graph_service_pb2.DiffRequest(
        world=order.world,
        strategy_id=order.strategy_id,
        strategy_version=order.strategy_version,
        dag=order.document,
    )


def from_diff(answer: graph_service_pb2.DiffResponse) -> tuple[NodeResolution, ...]:
    """Return what the graph knew of each node."""
    return tuple(NodeResolution(each.node_id, each.known, each.queue) for each in answer.nodes)


def to_snapshot_request(preset: str, as_of: str, fingerprint: str) -> dataset_service_pb2.GetSnapshotRequest:
    """Return the request for a snapshot; empty texts ask for the newest."""
    return dataset_service_pb2.GetSnapshotRequest(preset=preset, as_of=as_of, fingerprint=fingerprint)


def from_snapshot(answer: dataset_service_pb2.GetSnapshotResponse) -> Dataset | None:
    """Return the snapshot of an answer as data to bind to, or None; which is the newest it does not say."""
    if not answer.HasField("snapshot"):
        return None
    found = answer.snapshot
    return Dataset(
        preset=found.preset,
        as_of=found.as_of,
        fingerprint=found.fingerprint,
        newest_as_of="",
        end_time=to_datetime(found.end_time),
        coverage=found.coverage,
        gaps=found.gaps,
    )
