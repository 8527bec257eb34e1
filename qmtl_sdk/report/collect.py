"""Reads a world with its strategies' returns through the gateway."""

from __future__ import annotations

import asyncio

import numpy as np

from qmtl_sdk._pb.qmtl.evaluation.v1 import GetEvaluationRequest, GetEvaluationResponse
from qmtl_sdk._pb.qmtl.world.v1 import GetWorldStatusRequest, StrategyStatus, World
from qmtl_sdk.client.gateway import Gateway
from qmtl_sdk.report.model import ReportRule, ReportStrategy, WorldReport
from qmtl_sdk.submission.messages import to_mode


async def collect(client: Gateway, world: str) -> WorldReport:
    """Return what a report shows of a world."""
    status = await client.call(lambda: client.worlds.get_world_status(GetWorldStatusRequest(world=world)))
    evaluations = await asyncio.gather(*(_evaluation(client, world, each.eval_key) for each in status.strategies))
    stated = status.world or World()
    return WorldReport(
        world=world,
        mode=to_mode(stated.mode).value,
        data_preset=stated.data_preset,
        policy_version=stated.active_policy_version,
        epoch=status.epoch,
        sequence=status.sequence,
        trials=status.trials,
        score=status.score,
        as_of=status.as_of,
        strategies=tuple(_strategy(*pair) for pair in zip(status.strategies, evaluations, strict=True)),
    )


async def _evaluation(client: Gateway, world: str, eval_key: str) -> GetEvaluationResponse:
    request = GetEvaluationRequest(world=world, eval_key=eval_key, include_returns=True)
    return await client.call(lambda: client.evaluations.get_evaluation(request))


def _strategy(status: StrategyStatus, evaluation: GetEvaluationResponse) -> ReportStrategy:
    series = evaluation.returns
    return ReportStrategy(
        strategy_id=status.strategy_id,
        status=status.status,
        active=status.active,
        weight=status.weight,
        score=status.score,
        contribution=status.contribution,
        metrics=dict(status.metrics),
        rules=tuple(ReportRule(each.rule, each.passed, each.value, each.limit, each.message) for each in status.rules),
        times=np.array(series.bar_times_ns if series else [], dtype=np.int64),
        returns=np.array(series.returns if series else [], dtype=np.float64),
    )
