"""What a submission came to. The world's evaluation is its only authority; the precheck is a hint and says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold what the world lets the strategy do; times are RFC 3339 in UTC."""

    effective_mode: str
    execution_domain: str
    reason: str
    policy_version: int
    as_of: str
    expires_at: str
    etag: str


@dataclass(frozen=True, slots=True)
class Activation:
    """Hold the strategy's place in the activation set; ``weight`` is a fraction of the world's equity."""

    active: bool
    weight: float
    side: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Violation:
    """Name a rule that the strategy does not pass, with the value judged and its limit."""

    rule: str
    value: float | None
    limit: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Name what a proof found: the node and the first bar (RFC 3339) at which it shows."""

    kind: str
    node: str
    node_id: str
    bar: str
    symbol: str
    message: str


@dataclass(frozen=True, slots=True)
class Precheck:
    """Hold what the runner found by itself: a hint. ``coverage`` is bars proven over bars there are, [0, 1]."""

    status: str
    metrics: Mapping[str, float]
    findings: tuple[Finding, ...]
    coverage: float


@dataclass(frozen=True, slots=True)
class Node:
    """Say of one node whether the graph had it already, and which queue carries its values."""

    name: str
    node_id: str
    known: bool
    queue: str


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """Hold what came of a submission. ``status``: valid, invalid, pending or rejected; ``timings_ms`` by phase."""

    strategy_id: str
    version: str
    world: str
    status: str
    decision: Decision | None
    activation: Activation | None
    metrics: Mapping[str, float]
    contribution: float | None
    violations: tuple[Violation, ...]
    allocations: Mapping[str, float] | None
    precheck: Precheck | None
    downgraded: bool
    downgrade_reason: str | None
    safe_mode: bool
    dataset_fingerprint: str
    eval_key: str
    nodes: tuple[Node, ...]
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the JSON form: the fields by their names."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the JSON text, indented: what ``print(Runner.submit(…))`` shows."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False)
