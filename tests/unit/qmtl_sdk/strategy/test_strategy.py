"""Parameters, set-up and the program that comes of it."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import canonical_json, node_crc32
from qmtl_sdk.strategy import Node, Strategy, StreamInput
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.program import OutputKind, build
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import Axis


class SmaCross(Strategy):
    """Hold while the fast average is above the slow one."""

    fast: int = 10
    slow: int = 50
    scale: float = 1.0
    label: str = "sma"
    notes: ClassVar[str] = "no parameter"

    def setup(self) -> None:
        """State a weight."""
        close = self.bars()["close"]
        up = close.rolling_mean(self.fast) > close.rolling_mean(self.slow)
        self.target(up.when(self.scale, else_=0.0))


def test_parameters_are_given_or_default() -> None:
    assert SmaCross(fast=5).parameters == {"fast": 5, "slow": 50, "scale": 1.0, "label": "sma"}
    assert SmaCross(scale=2).scale == 2.0
    assert type(SmaCross(scale=2).parameters["scale"]) is float


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fast": "5"}, "fast: '5' is str; give int"),
        ({"fast": 5.0}, "fast: 5.0 is float; give int"),
        ({"fast": True}, "fast: True is bool; give int"),
        ({"fast": 2**60}, "too large"),
        ({"scale": float("nan")}, "not finite"),
        ({"label": "x" * 20_000}, "20000 characters"),
        ({"quick": 5}, "its parameters are: fast, slow, scale, label"),
    ],
)
def test_bad_parameter_is_refused_by_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(QmtlError, match=told) as refused:
        SmaCross(**given)
    assert refused.value.violations[0].field == next(iter(given))


def test_parameter_without_default_has_to_be_given() -> None:
    class Needs(Strategy):
        window: int

    with pytest.raises(QmtlError, match=r"Needs\(window=…\)"):
        Needs()
    assert Needs(window=3).parameters["window"] == 3


def test_parameter_of_another_type_is_refused_by_class() -> None:
    class Odd(Strategy):
        windows: list[int] = []  # noqa: RUF012  # the fault under test

    with pytest.raises(QmtlError, match="Odd has parameter 'windows'"):
        Odd()


def test_parameters_are_inherited() -> None:
    class Faster(SmaCross):
        fast: int = 3
        extra: bool = False

    assert Faster().parameters == {"fast": 3, "slow": 50, "scale": 1.0, "label": "sma", "extra": False}


def test_program_holds_equal_nodes_once_inputs_first() -> None:
    program = build(SmaCross)
    ids = [node.node_id for node in program.nodes]
    assert len(ids) == len(set(ids)) == 6
    for place, node in enumerate(program.nodes):
        assert all(ids.index(entry.node.node_id) < place for entry in node.inputs)
    assert program.output.kind is OutputKind.TARGET
    assert [node.name for node in program.streams] == ["bars"]
    assert build(SmaCross(fast=10)).dag_document() == program.dag_document()


def test_warmup_is_the_sum_of_windows_along_the_longest_path() -> None:
    class Deep(Strategy):
        def setup(self) -> None:
            close = self.bars()["close"]
            self.target(close.pct_change(5).rolling_mean(10).shift(2) + close.rolling_mean(12))

    program = build(Deep)
    assert program.warmup_bars == 5 + 9 + 2
    assert program.stream_bars(86_400) == {program.streams[0].node_id: 17}
    assert build(SmaCross).warmup_bars == 49


def test_dag_document_is_canonical_and_complete() -> None:
    program = build(SmaCross)
    document = json.loads(program.dag_document())
    assert canonical_json(document) == program.dag_document()
    assert document["schema"] == "qmtl.dag/1"
    assert document["outputs"] == {"kind": "target", "panel": program.nodes[-1].node_id, "by_symbol": []}
    last = document["nodes"][-1]
    assert last["node_type"] == "op.when/1"
    assert last["params"] == {"then": 1, "else": 0}
    assert last["crc32"] == node_crc32(last["node_id"])
    assert set(last) == {
        *("node_id", "crc32", "name", "node_type", "interval_s", "period", "params", "inputs"),
        *("schema_compat_id", "code_hash", "tags"),
    }


def test_setup_that_raises_is_named_with_its_class() -> None:
    class Broken(Strategy):
        def setup(self) -> None:
            raise ZeroDivisionError("of all things")

    with pytest.raises(QmtlError, match="setup of Broken raised ZeroDivisionError: of all things") as refused:
        build(Broken)
    assert refused.value.reason is Reason.INVALID_STRATEGY
    assert refused.value.metadata == {"strategy": "Broken", "exception": "ZeroDivisionError"}
    line = Broken.setup.__code__.co_firstlineno + 1
    assert refused.value.message.endswith(f" (test_strategy.py, line {line})")


def test_setup_that_misuses_the_sdk_is_told_its_own_line() -> None:
    class Misused(Strategy):
        def setup(self) -> None:
            self.bars()["close"].of_no_kind  # type: ignore[attr-defined]  # noqa: B018  # raises

    with pytest.raises(QmtlError) as refused:
        build(Misused)
    line = Misused.setup.__code__.co_firstlineno + 1
    assert refused.value.message.endswith(f" (test_strategy.py, line {line})")


def test_strategy_without_output_is_one_of_returns() -> None:
    class Silent(Strategy):
        def setup(self) -> None:
            self.add_nodes([self.bars()["close"].rolling_mean(5)])

    program = build(Silent)
    assert program.output.kind is OutputKind.NONE
    assert program.warmup_bars == 4


def test_signal_and_targets_by_symbol() -> None:
    class Scores(Strategy):
        def setup(self) -> None:
            self.signal(self.bars()["close"].pct_change(20).rank())

    class Pair(Strategy):
        def setup(self) -> None:
            close = self.bars()["close"]
            spread = close.symbol("B") - 2 * close.symbol("A")
            side = (spread.rolling_zscore(20) > 1).when(-0.5, else_=0.5)
            self.target({"B": side, "A": -side})

    assert build(Scores).output.kind is OutputKind.SIGNAL
    assert [symbol for symbol, _ in build(Pair).output.by_symbol] == ["A", "B"]


def test_number_is_a_target_that_stands_on_every_bar(make_panel: Any) -> None:
    class Mixed(Strategy):
        def setup(self) -> None:
            self.target({"B": np.float64(0.5), "A": self.bars()["close"] * 0.1, "C": 0})

    program = build(Mixed)
    panel = make_panel({"close": [[1.0, np.nan, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0]]}, symbols=["A", "B", "C", "D"])
    (bars,) = program.streams
    evaluation = evaluate(program.nodes, {bars.node_id: panel})
    targets = output_array(program, evaluation, Axis(panel.timestamps, panel.symbols))
    np.testing.assert_array_equal(targets, [[0.1, 0.5, 0.0, 0.0], [0.2, 0.5, 0.0, 0.0]])


def test_equal_numbers_are_one_node_whoever_writes_them() -> None:
    class Half(Strategy):
        def setup(self) -> None:
            self.target({"A": 0.5, "B": 0.5})

    class Other(Strategy):
        def setup(self) -> None:
            self.target({"A": 1 / 2, "B": 1})

    half, other = dict(build(Half).output.by_symbol), dict(build(Other).output.by_symbol)
    assert half["A"].node_id == half["B"].node_id == other["A"].node_id != other["B"].node_id
    assert half["A"].identity.node_type == "op.constant/1"
    assert half["A"].identity.params == {"value": 0.5}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (lambda self, close: self.target(close > 1), "no weight"),
        (lambda self, close: self.target(1.0), "no node"),
        (lambda self, close: self.target({"A": math.nan}), r"target\['A'\]: nan is not finite"),
        (lambda self, close: self.target({"A": True}), r"target\['A'\]: True is no node"),
        (lambda self, close: self.target({"A": "0.5"}), r"target\['A'\]: '0.5' is no node"),
        (lambda self, close: self.target({}), "at least one symbol"),
        (lambda self, close: self.target({3: close}), "3 is no symbol"),
        (lambda self, close: self.target(self.bars()), "several columns"),
        (lambda self, close: (self.target(close), self.signal(close)), "stated its output before"),
        (lambda self, close: self.add_nodes([1]), "1 is no node"),
        (lambda self, close: self.bars(interval="1 hour"), "no interval"),
        (lambda self, close: self.bars(symbols=[]), "symbols"),
        (lambda self, close: self.bars() + 1, "several columns"),
        (lambda self, close: close["open"], "no columns"),
    ],
)
def test_misuse_in_setup_is_refused(state: Any, told: str) -> None:
    class Misused(Strategy):
        def setup(self) -> None:
            state(self, self.bars()["close"])

    with pytest.raises(QmtlError, match=told):
        build(Misused)


@pytest.mark.parametrize(
    ("name", "mend"),
    [("roling_mean", r"did you mean rolling_mean\?"), ("sharpe", r"a column of a stream is stream\['sharpe'\]")],
)
def test_name_that_no_operator_has_is_refused_with_the_mend(name: str, mend: str) -> None:
    class Misspelt(Strategy):
        def setup(self) -> None:
            self.target(getattr(self.bars()["close"], name)(3))

    with pytest.raises(QmtlError, match=f"setup of Misspelt raised AttributeError: a node has no '{name}'; {mend}"):
        build(Misspelt)


def test_explicit_nodes_are_what_the_sugar_makes() -> None:
    class Explicit(Strategy):
        def setup(self) -> None:
            bars = StreamInput("bars")
            up = bars["close"].rolling_mean(10) > bars["close"].rolling_mean(50)
            self.add_nodes([bars, up])
            self.target(up.when(1.0, 0.0))

    assert build(Explicit).output.nodes[0].node_id == build(SmaCross).output.nodes[0].node_id


def test_node_arguments_are_checked_by_name() -> None:
    close = StreamInput("bars")["close"]
    for arguments, told in (
        ({"input": close}, "needs period="),
        ({"input": [], "period": 1}, "no input"),
        ({"input": [1], "period": 1}, "is no node"),
        ({"input": close, "period": 0}, "period: 0"),
        ({"input": close, "period": 1, "warmup": 2}, "is no fold"),
        ({"input": close, "initial": 0, "period": 3}, "warmup= instead"),
        ({"input": close, "initial": 0, "cross_section": True}, "each symbol alone"),
        ({"input": close, "period": 1, "tags": "momentum"}, "tags"),
    ):
        with pytest.raises(QmtlError, match=told):
            Node(abs, **arguments)
    with pytest.raises(QmtlError, match="compute"):
        Node(3, input=close, period=1)  # type: ignore[arg-type]  # the fault under test


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, BaseException])
def test_exit_of_setup_is_an_error_of_the_strategy(error: type[BaseException]) -> None:
    class Leaves(Strategy):
        def setup(self) -> None:
            raise error("x" * 100_000)

    with pytest.raises(QmtlError, match=f"setup of Leaves raised {error.__name__}: x") as refused:
        build(Leaves)
    assert refused.value.reason is Reason.INVALID_STRATEGY
    assert len(refused.value.message) < 400


def test_interrupt_passes_through_setup() -> None:
    class Interrupted(Strategy):
        def setup(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(Interrupted)
