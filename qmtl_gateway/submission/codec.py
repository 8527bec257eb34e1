"""The stored form of a submission's ending: JSON, explicit field by field. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from qmtl_foundation.execution_domain import ContextTerms, DowngradeReason, EffectiveMode, ExecutionDomain
from qmtl_gateway.submission.model import Decision, NodeResolution, Ready, Rejected, Terms


def encode_outcome(outcome: Ready | Rejected) -> str:
    """Return the JSON text of an ending."""
    return json.dumps(asdict(outcome), default=datetime.isoformat)


def decode_ready(text: str) -> Ready:
    """Return the ending that ``encode_outcome`` wrote for READY."""
    fields: dict[str, Any] = json.loads(text)
    decision, terms = fields["decision"], fields["terms"]
    context = terms["context"]
    return Ready(
        nodes=tuple(NodeResolution(**node) for node in fields["nodes"]),
        decision=Decision(**{**decision, "expire_time": datetime.fromisoformat(decision["expire_time"])}),
        terms=Terms(
            world=terms["world"],
            context=ContextTerms(
                mode=EffectiveMode(context["mode"]),
                domain=ExecutionDomain(context["domain"]),
                reasons=tuple(DowngradeReason(reason) for reason in context["reasons"]),
                safe_mode=context["safe_mode"],
            ),
            as_of=terms["as_of"],
            dataset_fingerprint=terms["dataset_fingerprint"],
            expire_time=datetime.fromisoformat(terms["expire_time"]),
        ),
    )


def decode_rejected(text: str) -> Rejected:
    """Return the ending that ``encode_outcome`` wrote for REJECTED."""
    return Rejected(**json.loads(text))
