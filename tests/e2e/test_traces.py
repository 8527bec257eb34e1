"""One submission is one trace, and one apply is one: from the command line to the runner and the executor, joined."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.collector import Collected, Collector, collecting, shown
from tests.support.command_line import QMTL, run_qmtl
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

STRATEGY = str(ROOT / "examples" / "sma_cross.py")
WORLD = "traced"
POLICY = 'apply: auto\ngates: [{name: sharpe, rule: "metrics.sharpe >= -9.0"}]\nselect: {top_k: 3}\n'
SECONDS = 60.0


class Line:
    """Be the command line of a stack that sends its spans to a collector."""

    def __init__(self, folder: Path, collector: Collector) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("QMTL_", "OTEL_"))}
        stated = {"QMTL_STATE_DIR": str(folder), "QMTL_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        self.folder = folder
        self.environment = inherited | stated | collector.environment

    def __call__(self, *arguments: str) -> str:
        ended = run_qmtl(self.environment, *arguments, directory=self.folder)
        assert ended.code == 0, ended.out + ended.err
        return ended.out

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            (*QMTL, *arguments),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def qmtl(lasting_dir: Path, collector: Collector) -> Iterator[Line]:
    """Give the command line of a stack with a world in which a strategy trades, the spans of it all collected."""
    line = Line(lasting_dir, collector)
    line("up")
    try:
        (lasting_dir / "policy.yaml").write_text(POLICY)
        line("world", "create", WORLD, "--mode", "paper", "--policy", "policy.yaml", "--share-policy", "world")
        line("submit", STRATEGY, "--world", WORLD)
        yield line
    finally:
        line("down")


def whole(collector: Collector, root: Collected, *wanted: tuple[str, str]) -> list[Collected]:
    """Return the spans of a trace once each wanted one, by service and the beginning of its name, is among them."""

    def missing() -> list[tuple[str, str]]:
        found = [(each.service, each.name) for each in collector.trace(root.trace_id)]
        return [
            one for one in wanted if not any(one[0] == service and name.startswith(one[1]) for service, name in found)
        ]

    try:
        wait_until(lambda: not missing() and not detached(collector.trace(root.trace_id)))
    except AssertionError:
        raise AssertionError(f"{missing()} are not in\n{shown(collector.trace(root.trace_id))}") from None
    return collector.trace(root.trace_id)


def detached(spans: list[Collected]) -> list[str]:
    """Return the spans whose parent was never sent, but for the root."""
    known = {each.span_id for each in spans}
    return [f"{each.service} {each.name}" for each in spans if each.parent_id and each.parent_id not in known]


def test_a_submission_is_one_trace_through_every_service(qmtl: Line, collector: Collector) -> None:
    (root,) = collector.roots("qmtl submit")
    spans = whole(
        collector,
        root,
        ("qmtl", "submit"),
        ("qmtl", "compute"),
        ("qmtl", "prove"),
        ("qmtl-gateway", "qmtl.submission.v1.SubmissionService/Submit"),
        ("qmtl-gateway", "bind submission"),
        ("qmtl-dagmgr", "qmtl.graph.v1.GraphService/Diff"),
        ("qmtl-dagmgr", "INSERT"),
        ("qmtl-gateway", "qmtl.evaluation.v1.EvaluationService/Evaluate"),
        ("qmtl-world", "qmtl.evaluation.v1.EvaluationService/Evaluate"),
        ("qmtl-world", "apply"),
        ("qmtl-gateway", "acknowledge freeze"),  # of a world that it has not heard of before
        ("qmtl-gateway", "acknowledge unfreeze"),
        ("qmtl-executor", "pass mark"),
    )
    assert detached(spans) == []


def test_an_apply_is_one_trace_from_who_asks_to_runner_and_executor(qmtl: Line, collector: Collector) -> None:
    with qmtl.running("run", STRATEGY, "--world", WORLD, "--replay", "--speed", "1x"):
        wait_until(lambda: sessions(qmtl) == 1, SECONDS)
        qmtl("apply", "start", WORLD, "--run-id", "traced-run", "--reason", "traced")
        (root,) = collector.roots("qmtl apply start")
        spans = whole(
            collector,
            root,
            ("qmtl-gateway", "qmtl.apply.v1.ApplyService/StartApply"),
            ("qmtl-world", "qmtl.apply.v1.ApplyService/StartApply"),
            ("qmtl-world", "WITH"),
            ("qmtl-world", "publish event"),
            ("qmtl-world", "publish mark"),
            ("qmtl-gateway", "hear freeze"),
            ("qmtl", "follow freeze"),
            ("qmtl-gateway", "acknowledge freeze"),
            ("qmtl-executor", "pass mark"),
            ("qmtl-executor", "acknowledge mark"),
            ("qmtl-world", "qmtl.apply.v1.ApplyService/AcknowledgeActivation"),
            ("qmtl-world", "apply freeze"),
            ("qmtl-world", "apply switch"),
            ("qmtl-world", "apply unfreeze"),
            ("qmtl", "follow unfreeze"),
        )
    print(shown(spans))  # noqa: T201  # shown where the test fails
    assert detached(spans) == []


def sessions(qmtl: Line) -> int:
    status = json.loads(qmtl("stack", "status", "--output", "json"))
    (gateway,) = [each for each in status["processes"] if each["name"] == "gateway"]
    with urlopen(f"http://{gateway['metrics_address']}/metrics", timeout=SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("runner_sessions"))))
