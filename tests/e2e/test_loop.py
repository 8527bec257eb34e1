"""The whole loop as its users run it: the demo, and a ten-line script against a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 120
VERDICTS = {
    "SmaCross": "invalid",
    "Momentum": "valid",
    "VolTarget": "valid",
    "Breakout": "valid",
    "Reversion": "invalid",
    "Clairvoyant": "rejected",
}
TEN_LINES = """\
from qmtl_sdk import Runner, Strategy

class SmaCross(Strategy):
    fast: int = 10
    slow: int = 50

    def setup(self):
        close = self.bars()["close"]
        up = close.rolling_mean(self.fast) > close.rolling_mean(self.slow)
        self.target(up.long_only())

print(Runner.submit(SmaCross, world="ten_lines").json())
"""
POLICY = """\
gates:
  - {name: sharpe, rule: "metrics.sharpe >= 0.2"}
select: {top_k: 1}
"""


def environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QMTL_")}
    stated = {"QMTL_STATE_DIR": str(folder), "QMTL_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    return inherited | stated | {"COLUMNS": "200"}


def run(*arguments: str, folder: Path, seconds: float = 60) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(folder), cwd=folder, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def qmtl(*arguments: str, folder: Path) -> str:
    return run("-m", "qmtl_sdk.cli", *arguments, folder=folder)


def test_demo_judges_six_strategies_writes_its_report_and_leaves_nothing_behind(lasting_dir: Path) -> None:
    report = lasting_dir / "report.html"
    told = run(str(ROOT / "examples" / "demo.py"), str(report), folder=lasting_dir, seconds=DEMO_SECONDS)
    verdicts = dict(line.split()[:2] for line in told.splitlines() if line.split()[:1] and line.split()[0] in VERDICTS)
    assert verdicts == VERDICTS
    assert "look_ahead: node 'rises_tomorrow'" in told
    page = report.read_text()
    assert page.count('<svg class="equity"') == len(VERDICTS)
    assert "src=" not in page
    assert "http" not in page
    left = [each.info["name"] for each in psutil.process_iter(["name", "cmdline"]) if "qmtl-demo-" in str(each.info)]
    assert left == []


SWEEP = TEN_LINES.replace(
    'print(Runner.submit(SmaCross, world="ten_lines").json())',
    'swept = Runner.sweep(SmaCross, grid={"fast": [10, 0, 20], "slow": [50]}, world="ten_lines")\nprint(swept)\n'
    "print(swept.best().parameters)",
)


def test_ten_line_script_needs_no_data_code_and_the_world_agrees_with_its_result(lasting_dir: Path) -> None:
    (lasting_dir / "ten_lines.py").write_text(TEN_LINES)
    (lasting_dir / "policy.yaml").write_text(POLICY)
    qmtl("up", folder=lasting_dir)
    try:
        asked = ("--mode", "paper", "--share-policy", "world", "--policy", "policy.yaml")
        qmtl("world", "create", "ten_lines", *asked, folder=lasting_dir)
        result = json.loads(run("ten_lines.py", folder=lasting_dir))
        (lasting_dir / "sweep.py").write_text(SWEEP)
        swept = run("sweep.py", folder=lasting_dir).splitlines()
        status = json.loads(qmtl("world", "status", "ten_lines", "--output", "json", folder=lasting_dir))
    finally:
        qmtl("down", folder=lasting_dir)
    assert (result["status"], result["violations"], result["downgraded"]) == ("valid", [], False)
    (strategy,) = status["strategies"]
    for name in ("strategy_id", "status", "metrics", "contribution", "eval_key"):
        assert strategy[name] == result[name]
    assert strategy["strategy_version"] == result["version"]
    assert (strategy["active"], strategy["weight"], strategy["side"]) == (
        result["activation"]["active"],
        result["activation"]["weight"],
        result["activation"]["side"],
    )
    assert (status["epoch"], status["sequence"]) == (result["activation"]["epoch"], result["activation"]["sequence"])
    # The sweep, whose first cell is the very version in force, was without consequences; its bad cell says so.
    assert [line.split(":")[0] for line in swept[:3]] == [f"fast={fast}, slow=50" for fast in (10, 0, 20)]
    assert "whole number of bars" in swept[1]
    assert swept[3] in ("{'fast': 10, 'slow': 50}", "{'fast': 20, 'slow': 50}")
    assert status["trials"] == 2
