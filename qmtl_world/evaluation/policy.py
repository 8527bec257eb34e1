"""Policies: read a YAML text into a Policy, or refuse it with the line, column, field and reason of every fault.

docs/policies.md is the reference of the form. The Pydantic models say which keys and values exist; the rules are
compiled here too, so that a policy that is accepted can be judged by.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason
from qmtl_foundation.identity import content_id
from qmtl_world.allocation.weights import Weighting, WeightRules
from qmtl_world.apply.model import OnDemote, OnFreeze, RunTerms
from qmtl_world.evaluation.document import Document, DocumentError, Fault, Path, Position, field_name, read_document
from qmtl_world.evaluation.gates import Gate, RuleError, Score, compile_gate, compile_score
from qmtl_world.evaluation.model import (
    NO_TARGET_RULE,
    SCORE_RULE,
    Apply,
    ConstraintRules,
    DataRules,
    GateRule,
    HysteresisRules,
    Policy,
    ProofState,
    SampleRules,
    SelectRules,
)

POLICY_CONTEXT: Final = "qmtl 2026-11 policy-content v1"
MAX_GATES: Final = 64
MAX_ACTIVE: Final = 10_000
MAX_ROUNDS: Final = 1_000
RESERVED_NAMES: Final = frozenset({SCORE_RULE, NO_TARGET_RULE, *(state.value for state in ProofState)})

_COMPILED_POLICIES: Final = 256  # policies that a process keeps compiled

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
Days = Annotated[float, Field(ge=0.0, le=36_500.0)]
Bars = Annotated[int, Field(ge=2, le=100_000_000)]
Count = Annotated[int, Field(ge=1, le=MAX_ACTIVE)]
Exposure = Annotated[float, Field(gt=0.0, le=100.0)]
Timeout = Annotated[int, Field(ge=100, le=600_000)]  # milliseconds


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Data(_Section):
    max_behind_days: Days | None = 7.0
    max_age_days: Days | None = None
    min_coverage: Fraction = 0.99


class _Sample(_Section):
    min_bars: Bars = 252
    min_trades: Annotated[int, Field(ge=0, le=100_000_000)] = 0


class _Gate(_Section):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    rule: str
    min_bars: Bars | None = None


class _Select(_Section):
    top_k: Count
    top_k_long: Annotated[int, Field(ge=0, le=MAX_ACTIVE)] | None = None
    top_k_short: Annotated[int, Field(ge=0, le=MAX_ACTIVE)] | None = None


class _Constraints(_Section):
    max_correlation: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    max_gross: Exposure | None = None
    max_abs_net: Exposure | None = None
    max_symbol_weight: Exposure | None = None


class _Hysteresis(_Section):
    promote_after: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] = 1
    demote_after: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] = 1
    min_dwell_rounds: Annotated[int, Field(ge=0, le=MAX_ROUNDS)] = 0


class _Weights(_Section):
    method: Literal["equal", "score", "inverse_volatility"] = "equal"
    max_weight: PositiveFraction = 1.0


class _Runs(_Section):
    freeze_timeout_ms: Timeout = 30_000
    switch_timeout_ms: Timeout = 10_000
    unfreeze_timeout_ms: Timeout = 30_000
    rollback_timeout_ms: Timeout = 10_000
    on_demote: Literal["flatten", "hold", "hand_over"] = "flatten"
    on_freeze: Literal["cancel", "leave"] = "cancel"


class _Policy(_Section):
    gates: Annotated[list[_Gate], Field(min_length=1, max_length=MAX_GATES)]
    select: _Select
    score: str = "metrics.sharpe"
    apply: Literal["auto", "manual"] = "auto"
    data: _Data = _Data()
    sample: _Sample = _Sample()
    constraints: _Constraints = _Constraints()
    hysteresis: _Hysteresis = _Hysteresis()
    weights: _Weights = _Weights()
    runs: _Runs = _Runs()


_SECTIONS: Final[dict[str, type[_Section]]] = {
    "": _Policy,
    "data": _Data,
    "sample": _Sample,
    "gates": _Gate,
    "select": _Select,
    "constraints": _Constraints,
    "hysteresis": _Hysteresis,
    "weights": _Weights,
    "runs": _Runs,
}


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """Hold a policy with its rules compiled; it stays in the process that compiled it."""

    policy: Policy
    gates: tuple[Gate, ...]
    score: Score


def parse_policy(content: bytes) -> Policy:
    """Return the policy that a YAML text (UTF-8) states.

    Raises QmtlError INVALID_POLICY with one violation per fault: its field as ``gates[1].rule``, its description
    as ``line:column: reason``.
    """
    return compile_policy(content).policy


def content_id_of(policy: Policy) -> str:
    """Return the id of what a policy says; layout, comments and stated defaults do not matter."""
    return content_id(POLICY_CONTEXT, asdict(policy))


@lru_cache(maxsize=_COMPILED_POLICIES)
def compile_policy(content: bytes) -> CompiledPolicy:
    """Return the policy that a YAML text (UTF-8) states, its rules compiled. Raises as parse_policy."""
    try:
        document = read_document(content)
    except DocumentError as error:
        raise _refused(error.faults) from None
    faults: list[Fault] = []
    section = _validate(document, faults)
    gates = _compile_gates(document, section.sample.min_bars if section else 0, faults)
    score = _compile_score(document, faults)
    if faults or section is None or score is None:
        raise _refused(tuple(faults))
    return CompiledPolicy(_convert(section), gates, score)


def _validate(document: Document, faults: list[Fault]) -> _Policy | None:
    if not isinstance(document.data, dict):
        reason = "a policy is a mapping with the keys gates and select at least"
        faults.append(Fault("policy", document.locate(()), reason))
        return None
    try:
        return _Policy.model_validate(document.data)
    except ValidationError as error:
        faults.extend(_explain(document, details["loc"], details) for details in error.errors(include_url=False))
        return None


def _explain(document: Document, path: Path, details: Any) -> Fault:
    kind, given = details["type"], details["input"]
    if kind == "extra_forbidden":
        return Fault(field_name(path), document.locate(path, key=True), _explain_unknown(path))
    if kind == "missing":
        return Fault(field_name(path), document.locate(path[:-1]), f"missing; state {path[-1]}")
    if kind == "string_pattern_mismatch":
        reason = f"{given!r} is no name; use a-z, 0-9 and _, at most 40, a letter first"
    elif kind in {"model_type", "model_attributes_type"}:
        reason = f"must be a mapping, is {_shown(given)}"
    else:
        sentence = details["msg"].removeprefix("Input ")
        reason = f"{sentence}, is {_shown(given)}"
    return Fault(field_name(path), document.locate(path), reason)


def _explain_unknown(path: Path) -> str:
    section = _SECTIONS.get(str(path[0]) if len(path) > 1 else "", _Policy)
    known = tuple(section.model_fields)
    close = get_close_matches(str(path[-1]), known, n=1)
    return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"


def _shown(given: object) -> str:
    if given is None:
        return "null"
    if isinstance(given, dict | list):
        return "a mapping" if isinstance(given, dict) else "a list"
    text = repr(given) if isinstance(given, str) else str(given).lower()
    return text if len(text) <= 40 else f"{text[:40]}…"


def _compile_gates(document: Document, min_bars: int, faults: list[Fault]) -> tuple[Gate, ...]:
    listed = document.data.get("gates") if isinstance(document.data, dict) else None
    gates: list[Gate] = []
    names: set[str] = set()
    for index, entry in enumerate(listed[: MAX_GATES + 1] if isinstance(listed, list) else ()):
        if not isinstance(entry, dict):
            continue
        name, rule, own_bars = entry.get("name"), entry.get("rule"), entry.get("min_bars")
        if isinstance(name, str):
            faults.extend(_check_name(document, ("gates", index, "name"), name, names))
        if isinstance(rule, str):
            gate = GateRule(str(name), rule, own_bars if isinstance(own_bars, int) else None)
            try:
                gates.append(compile_gate(gate, min_bars))
            except RuleError as error:
                faults.extend(_place(document, ("gates", index, "rule"), error))
    return tuple(gates)


def _check_name(document: Document, path: Path, name: str, names: set[str]) -> list[Fault]:
    reason = ""
    if name in RESERVED_NAMES:
        reason = f"{name} names a rule of the world itself; choose another name"
    elif name in names:
        reason = f"{name} names an earlier gate too; choose another name"
    names.add(name)
    return [Fault(field_name(path), document.locate(path), reason)] if reason else []


def _compile_score(document: Document, faults: list[Fault]) -> Score | None:
    text = (
        document.data.get("score", _Policy.model_fields["score"].default) if isinstance(document.data, dict) else None
    )
    if not isinstance(text, str):
        return None  # its type is a fault that Pydantic has named
    try:
        return compile_score(text)
    except RuleError as error:
        faults.extend(_place(document, ("score",), error))
        return None


def _place(document: Document, path: Path, error: RuleError) -> list[Fault]:
    """Return a rule's faults where they stand in the document, else at the rule with the place inside it in words."""
    placed = []
    for fault in error.faults:
        position = document.locate_inside(path, fault.line, fault.column)
        where = "" if position else f" (line {fault.line}, column {fault.column} of the rule)"
        placed.append(Fault(field_name(path), position or document.locate(path), fault.reason + where))
    return placed


def _convert(section: _Policy) -> Policy:
    return Policy(
        apply=Apply(section.apply),
        data=DataRules(**section.data.model_dump()),
        sample=SampleRules(**section.sample.model_dump()),
        gates=tuple(GateRule(**gate.model_dump()) for gate in section.gates),
        score=section.score,
        select=SelectRules(**section.select.model_dump()),
        constraints=ConstraintRules(**section.constraints.model_dump()),
        hysteresis=HysteresisRules(**section.hysteresis.model_dump()),
        weights=WeightRules(Weighting(section.weights.method), section.weights.max_weight),
        runs=_convert_runs(section.runs),
    )


def _convert_runs(section: _Runs) -> RunTerms:
    return RunTerms(
        freeze_timeout_ms=section.freeze_timeout_ms,
        switch_timeout_ms=section.switch_timeout_ms,
        unfreeze_timeout_ms=section.unfreeze_timeout_ms,
        rollback_timeout_ms=section.rollback_timeout_ms,
        on_demote=OnDemote(section.on_demote),
        on_freeze=OnFreeze(section.on_freeze),
    )


def _refused(faults: tuple[Fault, ...]) -> QmtlError:
    ordered = sorted(faults, key=lambda fault: (fault.position.line, fault.position.column, fault.field))
    first = ordered[0]
    count = f"{len(ordered)} faults, first " if len(ordered) > 1 else ""
    return QmtlError(
        Reason.INVALID_POLICY,
        f"the policy is refused: {count}at {_at(first.position)} in {first.field}: {first.reason}",
        metadata={
            "field": first.field,
            "line": str(first.position.line),
            "column": str(first.position.column),
            "faults": str(len(ordered)),
        },
        violations=tuple(FieldViolation(fault.field, f"{_at(fault.position)}: {fault.reason}") for fault in ordered),
    )


def _at(position: Position) -> str:
    return f"{position.line}:{position.column}"
