"""Submissions as messages of the contract."""

from __future__ import annotations

from qmtl_foundation.execution_domain import parse_mode
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2
from qmtl_foundation.rpc.modes import to_domain, to_mode, to_reason
from qmtl_foundation.rpc.timestamps import to_timestamp
from qmtl_gateway.submission.model import Decision, Ready, Rejected, State, Submission, Terms

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
