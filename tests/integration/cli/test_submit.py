"""``qmtl submit`` against the running services: to the verdict, to a refusal, to Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk import Runner
from qmtl_sdk.cli.loading import load_class
from qmtl_sdk.cli.loading import load_strategy as loaded
from qmtl_sdk.data.preset import builtin_presets
from qmtl_sdk.submission.result import SweepStoppedError
from tests.support.command_line import POLICY, RESULT_FIELDS, STRATEGY, STRICT_POLICY, Qmtl
from tests.support.waiting import wait_until

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
SPOILT_BELOW_9 = STRATEGY.replace("self.bars()", "self.bars(interval='1h' if self.fast < 9 else None)")
ENDLESS_BELOW_9 = """\
from qmtl_sdk import Node, Strategy

def crunch(view):
    print("crunching")
    while True:
        pass

class Trend(Strategy):
    fast: int = 20

    def setup(self):
        bars = self.bars()
        calm = (bars["close"] > 0).when(0.25, else_=0.0)
        self.target(Node(crunch, input=[bars], period=2) if self.fast < 9 else calm)
"""
RAISING = ENDLESS.replace("    while True:\n        pass", "    raise RuntimeError('no luck')")
MOODY = """\
from qmtl_sdk import Strategy, StreamInput

class Moody(Strategy):
    def setup(self):
        known = self.bars()["close"] > 0
        self.target((known & (StreamInput("mood")["score"] > 0)).when(0.25, else_=0.0))
"""
# Both after the close of their day (NYSE: 21:00 UTC), so known at the next close and filled at the open after that.
PUBLISHED = (("2005-01-03", "AAPL", 1.0), ("2005-06-01", "AAPL", -1.0))
EXAMPLES = Path(__file__).parents[3] / "examples"
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
    assert list(result) == list(RESULT_FIELDS)
    assert (result["strategy_id"], result["status"], result["activation"]["active"]) == ("ana/Trend", "valid", True)
    status = qmtl_json("world", "status", world_name).document
    [strategy] = status["strategies"]
    assert strategy["metrics"] == result["metrics"]
    assert strategy["eval_key"] == result["eval_key"]
    assert (strategy["active"], strategy["weight"]) == (True, result["activation"]["weight"])
    assert status["epoch"] == result["activation"]["epoch"]

    def allocations() -> dict[str, float]:
        found = qmtl_json("world", "allocations", world_name).document["strategies"]
        return {each["strategy_id"]: each["weight"] for each in found}

    wait_until(lambda: allocations() == result["allocations"])  # they follow the control stream


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


def test_sweep_gives_each_result_as_a_submission_does(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    file = written("trend_like_submit.py", STRATEGY)
    swept = qmtl_json("sweep", file, "--world", world_name, "--grid", "fast=20", "--author", "bo")
    [cell] = swept.document["cells"]
    assert list(cell["result"]) == list(RESULT_FIELDS)
    assert cell["result"]["strategy_id"] == "bo/Trend"


def test_sweep_asks_the_stated_gateway_and_leaves_the_environment_alone(
    qmtl_json: Qmtl, gateway: str, world_name: str, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    monkeypatch.setenv("QMTL_GATEWAY", "127.0.0.1:1")
    file = written("trend_elsewhere.py", STRATEGY)
    swept = qmtl_json("sweep", file, "--world", world_name, "--grid", "fast=20", "--gateway", gateway)
    assert (swept.code, os.environ["QMTL_GATEWAY"]) == (0, "127.0.0.1:1")


def test_sweep_of_python_has_author_and_gateway_and_refuses_unknown_parameters(
    qmtl_json: Qmtl, gateway: str, world_name: str, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    monkeypatch.setenv("QMTL_GATEWAY", "127.0.0.1:1")
    trend = load_class(written("trend_of_python.py", STRATEGY))
    [cell] = Runner.sweep(trend, grid={"fast": [20]}, world=world_name, author="bo", gateway=gateway)
    assert cell.result is not None
    assert cell.result.strategy_id == "bo/Trend"
    asked: dict[str, Any] = {"grid": {"fast": [20]}, "world": world_name, "gateway": gateway}
    wrong: tuple[dict[str, Any], ...] = ({"author": ""}, {"gateway": "nowhere"}, {"grid": {"fst": [1]}})
    for stated in wrong:
        with pytest.raises(QmtlError) as caught:
            Runner.sweep(trend, **{**asked, **stated})
        assert caught.value.reason is Reason.INVALID_FIELD


def test_sweep_that_ends_early_keeps_the_cells_done(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    file = written("trend_spoilt.py", SPOILT_BELOW_9)
    swept = qmtl_json("sweep", file, "--world", world_name, "--grid", "fast=20,8,30")
    assert (swept.code, [cell["parameters"]["fast"] for cell in swept.document["cells"]]) == (1, [20])
    error = json.loads(swept.err)["error"]
    assert (error["reason"], error["message"].partition(": ")[0]) == ("DATA_UNAVAILABLE", "the sweep ended early")
    with pytest.raises(SweepStoppedError, match="the sweep ended early") as caught:
        Runner.sweep(load_class(file), grid={"fast": [30, 20, 8]}, world=world_name)
    assert [cell.parameters["fast"] for cell in caught.value.done] == [30, 20]
    assert caught.value.reason is Reason.DATA_UNAVAILABLE


def test_interrupted_sweep_answers_with_the_cells_done(
    qmtl: Qmtl, world_name: str, written: Written, environment: dict[str, str]
) -> None:
    created(qmtl, world_name, written("policy.yaml", POLICY))
    file = written("trend_endless.py", ENDLESS_BELOW_9)
    asked = ("sweep", file, "--world", world_name, "--grid", "fast=20,8", "--output", "json")
    with subprocess.Popen(
        (sys.executable, "-c", QMTL, *asked), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if line == "crunching\n":
                break
        process.send_signal(signal.SIGINT)
        assert json.loads(process.stderr.read())["error"]["reason"] == "INTERRUPTED"
        cells = json.loads(process.stdout.read())["cells"]
        assert process.wait() == 130
    assert [(cell["parameters"], cell["result"]["world"]) for cell in cells] == [({"fast": 20}, world_name)]


def test_interrupted_sweep_of_python_has_the_cells_done(
    qmtl: Qmtl, world_name: str, written: Written, environment: dict[str, str]
) -> None:
    created(qmtl, world_name, written("policy.yaml", POLICY))
    file = written("trend_endless_python.py", ENDLESS_BELOW_9)
    script = f"""
from qmtl_sdk import Runner
from qmtl_sdk.cli.loading import load_class

try:
    Runner.sweep(load_class({file!r}), grid={{"fast": [20, 8]}}, world={world_name!r})
except KeyboardInterrupt as interrupt:
    print([dict(cell.parameters) for cell in interrupt.done], interrupt)
"""
    with subprocess.Popen(
        (sys.executable, "-u", "-c", script), env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "crunching\n":
                break
        process.send_signal(signal.SIGINT)
        told = process.stdout.read()
        assert process.wait() == 0
    assert told.splitlines()[-1].startswith(
        "[{'fast': 20}] the sweep was interrupted; done of this exception has the 1"
    )


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


def test_world_without_a_policy_is_refused_before_anything_is_computed(
    qmtl_json: Qmtl, world_name: str, written: Written
) -> None:
    qmtl_json("world", "create", world_name)
    refused = qmtl_json("submit", written("never_run.py", RAISING), "--world", world_name)
    assert (refused.code, refused.error["reason"]) == (1, "NO_ACTIVE_POLICY")
    assert f"`qmtl world policy upload {world_name} FILE --activate`" in refused.error["message"]
    assert qmtl_json("world", "status", world_name).document["strategies"] == []


def test_strategy_on_two_intervals_is_valid_on_the_sample(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    submitted = qmtl_json("submit", f"{EXAMPLES / 'weekly_trend.py'}", "--world", world_name)
    assert (submitted.code, submitted.document["status"]) == (0, "valid")


def test_finer_bars_than_the_presets_are_refused_before_anything_is_sent(
    qmtl_json: Qmtl, world_name: str, written: Written
) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    hourly = STRATEGY.replace("self.bars()", "self.bars(interval='1h')")
    refused = qmtl_json("submit", written("trend_hourly.py", hourly), "--world", world_name)
    assert refused.error["reason"] == "DATA_UNAVAILABLE"
    assert "do not make finer ones of 1h; choose a preset of 1h or finer" in refused.error["message"]
    assert qmtl_json("world", "status", world_name).document["strategies"] == []


def test_published_stream_reaches_the_strategy(
    qmtl_json: Qmtl, world_name: str, written: Written, tmp_path: Path
) -> None:
    """The sample's bars with a stream beside them: no sentiment, no position."""
    preset = builtin_presets()["sample_us_equity_1d"].model_dump(mode="json", by_alias=True)
    rows = "".join(f"{day}T22:00:00Z,{name},{score}\n" for day, name, score in PUBLISHED)
    source = {"kind": "csv", "uri": written("mood.csv", "time,symbol,score\n" + rows), "time_means": "published"}
    preset |= {"name": world_name, "streams": [{"name": "mood", "source": source, "columns": ["score"]}]}
    assert qmtl_json("data", "presets", "add", written("preset.json", json.dumps(preset))).code == 0
    policy = written("policy.yaml", POLICY)
    assert qmtl_json("world", "create", world_name, "--preset", world_name, "--policy", policy).code == 0
    result = Runner.submit(loaded(written("moody.py", MOODY)), world=world_name)
    assert result.backtest is not None
    trades = result.backtest.trades.filter(~pl.col("open"))
    assert trades.select("symbol", pl.col("entry_ts").dt.date().cast(pl.String)).rows() == [("AAPL", "2005-01-05")]
    alone = qmtl_json("data", "fingerprint", "sample_us_equity_1d").document["fingerprint"]
    assert result.dataset_fingerprint == qmtl_json("data", "fingerprint", world_name).document["fingerprint"] != alone


def test_returns_beside_a_target_are_refused_before_anything_is_sent(
    qmtl_json: Qmtl, world_name: str, written: Written
) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    trend = loaded(written("trend_stated.py", STRATEGY))
    with pytest.raises(
        QmtlError, match="returns: Trend states a target, of which its returns are made; leave returns="
    ):
        Runner.submit(trend, world=world_name, returns=[0.0])
    assert qmtl_json("world", "status", world_name).document["strategies"] == []


def test_warm_up_longer_than_the_data_is_said(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    file = written("trend_long.py", STRATEGY)
    refused = qmtl_json("submit", file, "--world", world_name, "--param", "slow=9000")
    assert refused.error["reason"] == "INVALID_STRATEGY"
    assert "is null on all 3,270 bars of every symbol, and its warm-up is 8,999 bars" in refused.error["message"]
    assert qmtl_json("world", "status", world_name).document["strategies"] == []


def test_node_that_raises_is_named(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    created(qmtl_json, world_name, written("policy.yaml", POLICY))
    refused = qmtl_json("submit", written("raising.py", RAISING), "--world", world_name)
    assert refused.code == 1
    assert refused.error["message"] == "node 'crunch' raised RuntimeError: no luck"


def test_interrupt_ends_a_long_backtest_at_once(
    qmtl: Qmtl, world_name: str, written: Written, environment: dict[str, str]
) -> None:
    created(qmtl, world_name, written("policy.yaml", POLICY))
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


def test_doubtful_data_is_said_beside_the_verdict(
    qmtl: Qmtl, qmtl_json: Qmtl, world_name: str, written: Written
) -> None:
    """One row of a Saturday, and in the end no file: what is kept from before is served."""
    days = [f"2010-01-{day:02}" for day in (4, 5, 6, 7, 8, 9, 11, 12, 13, 14)]
    rows = "".join(f"{day},{close}\n" for close, day in enumerate(days, 10))
    bars = written("bars.csv", "time,close\n" + rows)
    preset = {
        "name": world_name,
        "source": {"kind": "csv", "uri": bars, "time_means": "session"},
        "symbols": ["AAA"],
        "interval": "1d",
        "start": "2010-01-01",
        "calendar": "XNYS",
        "schema": {"columns": ["close"]},
    }
    assert qmtl_json("data", "presets", "add", written("preset.json", json.dumps(preset))).code == 0
    policy, options = written("policy.yaml", POLICY), ("--preset", world_name, "--fill", "close")
    assert qmtl_json("world", "create", world_name, *options, "--policy", policy).code == 0
    Path(bars).unlink()
    held = STRATEGY.replace("fast: int = 20", "fast: int = 1").replace("slow: int = 200", "slow: int = 2")
    submitted = qmtl("submit", written("trend_doubtful.py", held), "--world", world_name)
    said = " ".join(submitted.out.split())  # however its lines were folded
    assert f"! the source of {world_name} cannot be read; data kept from before is served" in said
    assert "off_calendar in time (1 row, first row 6: AAA at 2010-01-09T00:00:00Z); left out" in said
