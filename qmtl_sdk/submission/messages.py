"""Between the contract's messages and the SDK's values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.execution_domain import DowngradeReason as Downgrade
from qmtl_foundation.execution_domain import EffectiveMode as Mode
from qmtl_foundation.execution_domain import ExecutionDomain as Domain
from qmtl_foundation.execution_domain import domain_of
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance, Sizing, SizingRule
from qmtl_foundation.statistics.summary import compute as compute_metrics
from qmtl_sdk._pb.qmtl.common.v1 import ComputeContext, DowngradeReason, EffectiveMode, ExecutionDomain
from qmtl_sdk._pb.qmtl.dataset.v1 import Snapshot
from qmtl_sdk._pb.qmtl.evaluation.v1 import EvaluateRequest, ProofFinding, ProofReport
from qmtl_sdk._pb.qmtl.evaluation.v1 import ProofStatus as ProofStatusMessage
from qmtl_sdk._pb.qmtl.world.v1 import ExecutionModel as ExecutionModelMessage
from qmtl_sdk._pb.qmtl.world.v1 import Fill as FillMessage
from qmtl_sdk._pb.qmtl.world.v1 import Rebalance as RebalanceMessage
from qmtl_sdk._pb.qmtl.world.v1 import Sizing as SizingMessage
from qmtl_sdk._pb.qmtl.world.v1 import World
from qmtl_sdk.libraries import library_versions
from qmtl_sdk.proofs.model import ProofStatus
from qmtl_sdk.submission.result import Activation, Decision, Node, Precheck, SubmitResult, Violation
from qmtl_sdk.submission.terms import WorldTerms

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.evaluation.v1 import EvaluateResponse
    from qmtl_sdk._pb.qmtl.submission.v1 import Submission
    from qmtl_sdk._pb.qmtl.world.v1 import Decision as DecisionMessage
    from qmtl_sdk.data.report import DeliveryReport
    from qmtl_sdk.strategy.program import Program
    from qmtl_sdk.submission.proving import Proofs
    from qmtl_sdk.submission.series import Series

MAX_FINDINGS: Final = 100

_STATUSES: Final = {
    ProofStatus.PASSED: ProofStatusMessage.PASSED,
    ProofStatus.FAILED: ProofStatusMessage.FAILED,
    ProofStatus.UNPROVEN: ProofStatusMessage.UNPROVEN,
}


def to_terms(world: World, data_preset: str, preset_document: bytes) -> WorldTerms:
    """Return a world's terms."""
    model, rule = world.execution_model, world.sizing_rule
    return WorldTerms(
        world=world.name,
        data_preset=data_preset,
        preset_document=preset_document,
        bars_per_year=world.bars_per_year,
        execution_model=ExecutionModel() if model is None else _to_model(model),
        sizing_rule=SizingRule()
        if rule is None
        else SizingRule(Sizing(SizingMessage(rule.sizing).name.lower()), rule.gross_limit),
    )


def to_snapshot(report: DeliveryReport) -> Snapshot:
    """Return the message that registers what was delivered."""
    return Snapshot(
        preset=report.data_preset,
        as_of=report.as_of,
        fingerprint=report.fingerprint,
        start_time=_moment(report.span.start),
        end_time=_moment(report.span.end),
        bars=sum(each.present for each in report.symbols),
        coverage=report.coverage_fraction,
        gaps=sum(gap.bars for gap in report.gaps),
    )


def to_precheck(proofs: Proofs, returns: NDArray[np.float64], bars_per_year: float) -> Precheck:
    """Return what the runner found by itself."""
    metrics = _metrics(returns, bars_per_year)
    return Precheck(proofs.status, metrics, proofs.findings, proofs.coverage)


def unproven(returns: NDArray[np.float64], bars_per_year: float) -> Precheck:
    """Return the precheck of a submission that states returns only: there is no code to prove."""
    return Precheck(ProofStatus.UNPROVEN, _metrics(returns, bars_per_year), (), 0.0)


def to_evaluate(submission: Submission, terms: WorldTerms, series: Series, precheck: Precheck) -> EvaluateRequest:
    """Return the request to evaluate, without its request id."""
    context = submission.context or ComputeContext()
    findings = [
        ProofFinding(each.kind, each.node, each.node_id, each.bar, each.symbol, each.message)
        for each in precheck.findings[:MAX_FINDINGS]
    ]
    return EvaluateRequest(
        world=submission.world,
        strategy_id=submission.strategy_id,
        strategy_version=submission.strategy_version,
        submission_id=submission.submission_id,
        execution_domain=context.execution_domain,
        as_of=context.as_of,
        dataset_fingerprint=context.dataset_fingerprint,
        returns=series.returns,
        targets=series.targets,
        trades=series.trades,
        proofs=ProofReport(_STATUSES[precheck.status], findings, precheck.coverage),
        execution_model=_from_model(terms.execution_model),
        effective_mode=context.effective_mode,
        code_version=library_versions()["qmtl"],
    )


def to_result(
    submission: Submission,
    program: Program,
    precheck: Precheck,
    answer: EvaluateResponse,
    timings_ms: Mapping[str, float],
) -> SubmitResult:
    """Return what came of a submission that was evaluated."""
    evaluation, activation = answer.evaluation, answer.activation
    if activation is not None and activation.strategy_version != submission.strategy_version:
        activation = None  # another version is in force; this one has no place
    if evaluation is None:
        raise ValueError("an EvaluateResponse without an evaluation")
    context = submission.context or ComputeContext()
    names = {node.node_id: node.name for node in program.nodes}
    return SubmitResult(
        strategy_id=submission.strategy_id,
        version=submission.strategy_version,
        world=submission.world,
        status=evaluation.status,
        decision=_to_decision(answer.decision, context),
        activation=None
        if activation is None
        else Activation(activation.active, activation.weight, activation.side, activation.epoch, activation.sequence),
        metrics=dict(sorted(evaluation.metrics.items())),
        contribution=evaluation.contribution,
        violations=tuple(
            Violation(rule.rule, rule.value, rule.limit, rule.message) for rule in evaluation.rules if not rule.passed
        ),
        allocations=None
        if answer.allocations is None
        else {each.strategy_id: each.weight for each in answer.allocations.strategies},
        precheck=precheck,
        downgraded=context.downgraded,
        downgrade_reason=_downgrade_reason(context),
        safe_mode=context.safe_mode,
        dataset_fingerprint=evaluation.dataset_fingerprint,
        eval_key=evaluation.eval_key,
        nodes=tuple(
            Node(names.get(each.node_id, ""), each.node_id, each.known, each.queue) for each in submission.nodes
        ),
        timings_ms=dict(timings_ms),
    )


def pending_result(submission: Submission, timings_ms: Mapping[str, float]) -> SubmitResult:
    """Return the result of a submission that no worker has ended yet; it goes on by itself."""
    return SubmitResult(
        strategy_id=submission.strategy_id,
        version=submission.strategy_version,
        world=submission.world,
        status="pending",
        decision=None,
        activation=None,
        metrics={},
        contribution=None,
        violations=(),
        allocations=None,
        precheck=None,
        downgraded=False,
        downgrade_reason=None,
        safe_mode=True,
        dataset_fingerprint="",
        eval_key="",
        nodes=(),
        timings_ms=dict(timings_ms),
    )


def domain_text(context: ComputeContext | None) -> str:
    """Return the text of a context's domain; what is not known is backtest."""
    number = ExecutionDomain.UNSPECIFIED if context is None else ExecutionDomain(context.execution_domain)
    if number is ExecutionDomain.UNSPECIFIED or number.name is None:
        return Domain.BACKTEST.value
    return Domain[number.name].value


def to_mode(number: EffectiveMode) -> Mode:
    """Return a mode; what is not known is compute-only."""
    name = EffectiveMode(number).name
    return Mode[name] if name in Mode.__members__ else Mode.COMPUTE_ONLY


def _to_decision(decision: DecisionMessage | None, context: ComputeContext) -> Decision | None:
    if decision is None:
        return None
    mode = to_mode(decision.effective_mode)
    return Decision(
        effective_mode=mode.value,
        execution_domain=Domain.BACKTEST.value if context.safe_mode else domain_of(mode).value,
        reason=decision.reason,
        policy_version=decision.policy_version,
        as_of=decision.as_of,
        expires_at="" if decision.expire_time is None else _rfc3339(decision.expire_time),
        etag=decision.etag,
    )


def _downgrade_reason(context: ComputeContext) -> str | None:
    """Return the first reason, the one that counted; more of them stand in the gateway's answer."""
    for reason in context.downgrade_reasons:
        name = DowngradeReason(reason).name
        if name in Downgrade.__members__:
            return Downgrade[name].value
    return None


def _to_model(message: ExecutionModelMessage) -> ExecutionModel:
    return ExecutionModel(
        fill=Fill(FillMessage(message.fill).name.lower()),
        slippage_bp=message.slippage_bp,
        fee_bp=message.fee_bp,
        rebalance=Rebalance(RebalanceMessage(message.rebalance).name.lower()),
        drift=message.drift,
        can_short=message.can_short,
        initial_cash=message.initial_cash,
        cash_rate=message.cash_rate,
    )


def _from_model(model: ExecutionModel) -> ExecutionModelMessage:
    return ExecutionModelMessage(
        fill=FillMessage[model.fill.name],
        slippage_bp=model.slippage_bp,
        fee_bp=model.fee_bp,
        rebalance=RebalanceMessage[model.rebalance.name],
        drift=model.drift,
        can_short=model.can_short,
        initial_cash=model.initial_cash,
        cash_rate=model.cash_rate,
    )


def _metrics(returns: NDArray[np.float64], bars_per_year: float) -> dict[str, float]:
    computed = compute_metrics(returns, annual_factor=bars_per_year)
    return {name: value for name, value in computed.items() if math.isfinite(value)}


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
