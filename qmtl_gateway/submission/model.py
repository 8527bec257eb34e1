"""A submission and its two endings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from qmtl_foundation.execution_domain import ContextTerms


class State(StrEnum):
    """Say how far a submission is; READY and REJECTED are final."""

    PENDING = "pending"
    READY = "ready"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold the world's decision as the gateway passes it on; ``effective_mode`` is text, so that it may be unknown."""

    world: str
    strategy_id: str
    effective_mode: str
    reason: str
    policy_version: int
    as_of: str
    expire_time: datetime
    etag: str
    allow_live: bool


@dataclass(frozen=True, slots=True)
class NodeResolution:
    """Say of one node whether the graph had it, and which queue carries it."""

    node_id: str
    known: bool
    queue: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Say what data a submission is bound to; texts are empty and moments None when they are not known."""

    preset: str
    as_of: str
    fingerprint: str
    newest_as_of: str
    end_time: datetime | None
    coverage: float
    gaps: int


@dataclass(frozen=True, slots=True)
class SubmissionOrder:
    """Hold what a submission asks for, checked. ``document`` is the submitted DAG, ``hint`` the wished mode."""

    submission_id: str
    world: str
    strategy_id: str
    strategy_version: str
    document: bytes
    hint: str
    data_preset: str
    as_of: str
    dataset_fingerprint: str


@dataclass(frozen=True, slots=True)
class Terms:
    """Hold the compute context that was derived, and what it was derived from."""

    world: str
    context: ContextTerms
    as_of: str
    dataset_fingerprint: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Ready:
    """End a submission well: merged, bound, decided."""

    nodes: tuple[NodeResolution, ...]
    decision: Decision
    terms: Terms


@dataclass(frozen=True, slots=True)
class Rejected:
    """End a submission for good."""

    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Submission:
    """Hold a submission as it stands."""

    submission_id: str
    world: str
    strategy_id: str
    strategy_version: str
    state: State
    accept_time: datetime
    end_time: datetime | None
    outcome: Ready | Rejected | None
