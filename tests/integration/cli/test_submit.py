"""``qmtl submit`` against the running services: to the verdict, to a refusal, to Ctrl-C."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from qmtl_sdk.submission.result import SubmitResult
from tests.support.command_line import POLICY, STRATEGY, STRICT_POLICY, Qmtl

Written = Callable[[str, str], str]

ENDLESS = """\
from qmtl_sdk import Node, Strategy

def crunch(view):
    while True:
        pass

class Endless(Strategy):
    def setup(self):
        self.target(Node(crunch, input=[self.bars()], period=2))
"""
RAISING = ENDLESS.replace("    while True:\n        pass", "    raise RuntimeError('no luck')")
QMTL = "import sys; from qmtl_sdk.cli.main import run; sys.exit(run())"


def created(qmtl: Qmtl, world: str, policy: str) -> None:
    assert qmtl("world", "create", world, "--mode", "paper", "--share-policy", "world", "--policy", policy).code == 0


def test_valid_strategy_is_active_and_the_status_agrees(
    qmtl_json: Qmtl, qmtl: Qmtl, world_name: str, written: Written
) -> None:
    created(qmtl, world_name, written("policy.yaml", POLICY))
    submitted = qmtl_json("submit", written("trend_valid.py", STRATEGY), "--world", world_name, "--param", "fast=25")
    assert submitted.code == 0
    assert submitted.err == ""
    result = submitted.document
    assert list(result) == [field.name for field in dataclasses.fields(SubmitResult)]
    assert (result["strategy_id"], result["status"], result["activation"]["active"]) == ("ana/Trend", "valid", True)
    status = qmtl_json("world", "status", world_name).document
    [strategy] = status["strategies"]
    assert strategy["metrics"] == result["metrics"]
    assert strategy["eval_key"] == result["eval_key"]
    assert (strategy["active"], strategy["weight"]) == (True, result["activation"]["weight"])
    assert status["epoch"] == result["activation"]["epoch"]
    allocations = qmtl_json("world", "allocations", world_name).document
    assert {each["strategy_id"]: each["weight"] for each in allocations["strategies"]} == result["allocations"]


def test_invalid_strategy_ends_with_its_reasons(qmtl: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl, world_name, written("policy.yaml", STRICT_POLICY))
    submitted = qmtl("submit", written("trend_invalid.py", STRATEGY) + ":Trend", "--world", world_name)
    assert submitted.code == 3
    assert "invalid" in submitted.out
    assert "99" in submitted.out
    assert "evaluate: " in submitted.err
    shown = qmtl("world", "status", world_name).out
    assert "ana/Trend" in shown
    assert "99" in shown
    assert any(block in shown for block in "▁▂▃▄▅▆▇█")


def test_sweep_evaluates_every_cell_and_activates_none(
    qmtl_json: Qmtl, qmtl: Qmtl, world_name: str, written: Written
) -> None:
    created(qmtl, world_name, written("policy.yaml", POLICY))
    file = written("trend_swept.py", STRATEGY)
    swept = qmtl_json("sweep", file, "--world", world_name, "--grid", "fast=20,0", "--grid", "slow=200")
    assert swept.code == 0
    good, bad = swept.document["cells"]
    assert (good["parameters"], good["result"]["status"], good["error"]) == ({"fast": 20, "slow": 200}, "valid", "")
    assert (bad["result"], "window: 0" in bad["error"]) == (None, True)
    assert qmtl_json("world", "allocations", world_name).document["strategies"] == []
    failed = qmtl("sweep", file, "--world", world_name, "--grid", "fast=0")
    assert (failed.code, "window: 0" in failed.out) == (3, True)


def test_report_is_a_page_of_its_own(qmtl_json: Qmtl, world_name: str, tmp_path: Path) -> None:
    qmtl_json("world", "create", world_name)
    page = tmp_path / "report.html"
    assert qmtl_json("world", "report", world_name, "--html", str(page)).document["html"] == str(page)
    assert world_name in page.read_text()
    refused = qmtl_json("world", "report", world_name, "--html", str(tmp_path / "none" / "report.html"))
    assert refused.error["metadata"]["field"] == "html"


def test_what_strategy_code_prints_stays_out_of_the_answer(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    noisy = "print('imported')\n" + STRATEGY.replace("close = ", "print('set up'); close = ")
    submitted = qmtl_json("submit", written("trend_noisy.py", noisy), "--world", world_name)
    assert submitted.document["status"] == "valid"
    assert submitted.err.splitlines()[0] == "imported"


def test_unknown_world_is_refused(qmtl_json: Qmtl, written: Written) -> None:
    refused = qmtl_json("submit", written("trend_lost.py", STRATEGY), "--world", "no_such_world")
    assert (refused.code, refused.error["reason"]) == (1, "WORLD_NOT_FOUND")


def test_node_that_raises_is_named(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    qmtl_json("world", "create", world_name)
    refused = qmtl_json("submit", written("raising.py", RAISING), "--world", world_name)
    assert refused.code == 1
    assert refused.error["message"] == "node 'crunch' raised RuntimeError: no luck"


def test_interrupt_ends_a_long_backtest_at_once(
    qmtl: Qmtl, world_name: str, written: Written, environment: dict[str, str]
) -> None:
    qmtl("world", "create", world_name)
    command = (sys.executable, "-c", QMTL, "submit", written("endless.py", ENDLESS), "--world", world_name)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if line.startswith("bind to the world"):
                break
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "error: interrupted\n"
        assert process.stdout.read() == ""
        assert process.wait() == 130
