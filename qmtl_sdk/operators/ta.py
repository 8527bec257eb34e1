"""TA-Lib's functions as operators: ``ta.RSI(close, timeperiod=14)``, ``ta.ATR(self.bars())``, ``ta.MACD(close)``.

TA-Lib accumulates along the history that it is given, so its last bits (and, for recursive functions, more) depend on
where the history begins. Here each value is computed from its own window of fixed length, so live equals backtest
bit for bit; the window is TA-Lib's look-back, and for recursive functions ``settle`` bars before it (10 look-backs
unless stated; 0 for the others). Functions whose value depends on the whole past (OBV, SAR, VWAP, …) are refused:
write a fold. Needs the extra ``qmtl[talib]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.identity import Json
from qmtl_sdk.operators.catalog import Operator
from qmtl_sdk.operators.elementwise import Operands, Params, finite
from qmtl_sdk.strategy.node import Node, OperatorNode
from qmtl_sdk.strategy.values import FloatArray, Value, floats

SETTLE_LOOKBACKS: Final = 10
UNSTABLE: Final = "Function has an unstable period"
PATH_DEPENDENT: Final = "Output is path-dependent"
# Recursive though TA-Lib does not flag them: they are built of exponential averages. Found by computing each on its
# look-back alone and on a longer history.
RECURSIVE: Final = frozenset(
    {
        *("ADXR", "APO", "CVI", "DEMA", "EFI", "ERI", "KC", "KDJ", "MACD", "MACDFIX"),
        *("MASSI", "PPO", "PVO", "SMI", "STOCHRSI", "TEMA", "TRIX", "TSI", "ZLEMA"),
    }
)
# Their value is a position counted from where the history begins.
POSITIONS: Final = frozenset({"MAXINDEX", "MININDEX", "MINMAXINDEX"})


@dataclass(frozen=True, slots=True)
class Signature:
    """Describe a TA-Lib function: its input columns in order, default parameters, outputs, and whether it recurs."""

    name: str
    columns: tuple[str, ...]
    defaults: Mapping[str, float]
    outputs: tuple[str, ...]
    recursive: bool
    refused: str


def __getattr__(name: str) -> Callable[..., Node | tuple[Node, ...]]:
    """Return the operator of one TA-Lib function, by TA-Lib's name."""
    if not name.isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; TA-Lib's names are in capitals")
    return partial(_apply, _signature(name))


def _apply(
    signature: Signature, *nodes: Node, settle: int | None = None, **parameters: float
) -> Node | tuple[Node, ...]:
    """Apply a function to a stream (its columns are chosen by name) or to one node per input, in TA-Lib's order.

    Returns one node, or one for each output. Raises QmtlError INVALID_FIELD naming the argument.
    """
    if signature.refused:
        raise invalid_field(signature.name, signature.refused)
    for name, number in parameters.items():
        _check_parameter(signature, name, number)
    params = {**signature.defaults, **parameters}
    lookback = _lookback(signature, params)
    settled = _settle(signature, params, lookback, settle)
    window = lookback + 1 + settled
    inputs = dict(zip(_names(signature), _inputs(signature, nodes), strict=True))
    chosen: dict[str, Json] = {**params, "settle": settled}
    made = [
        OperatorNode.of(_operator(signature.name, index), inputs, {**chosen, "output": output}, window)
        for index, output in enumerate(signature.outputs)
    ]
    return made[0] if len(made) == 1 else tuple(made)


@lru_cache(maxsize=512)
def _operator(name: str, output: int) -> Operator:
    return Operator(f"ta.{name}", partial(_run, _signature(name), output))


def _run(signature: Signature, output: int, operands: Operands, params: Params) -> Value:
    columns = [operands[name].numbers() for name in _names(signature)]
    parameters = {name: params[name] for name in signature.defaults}
    window = _lookback(signature, parameters) + 1 + int(params["settle"])  # type: ignore[arg-type]  # int by construction
    function = partial(getattr(_talib(), signature.name), **parameters)
    bars, symbols = np.broadcast_shapes(*(column.shape for column in columns))
    out = np.full((bars, symbols), np.nan)
    for symbol in range(symbols):
        series = [np.ascontiguousarray(np.broadcast_to(column, out.shape)[:, symbol]) for column in columns]
        _run_symbol(function, series, window, output, out[:, symbol])
    return floats(finite(out))


def _run_symbol(function: Any, columns: list[FloatArray], window: int, output: int, out: FloatArray) -> None:
    unknown = np.cumsum(np.any(np.isnan(columns), axis=0))
    before = np.concatenate(([0], unknown))[: len(unknown)]
    for bar in range(window - 1, len(out)):
        first = bar - window + 1
        if unknown[bar] != before[first]:
            continue  # an input is null in the window
        result = function(*(column[first : bar + 1] for column in columns))
        out[bar] = (result[output] if isinstance(result, tuple) else result)[-1]


@lru_cache(maxsize=512)
def _signature(name: str) -> Signature:
    talib = _talib()
    if name not in talib.get_functions():
        raise invalid_field("ta", f"{name!r} is no function of TA-Lib {talib.__version__}")
    function = talib.abstract.Function(name)
    flags = function.function_flags or []
    columns: list[str] = []
    for source in function.input_names.values():
        columns += [source] if isinstance(source, str) else source
    return Signature(
        name,
        tuple(columns),
        dict(function.parameters),
        tuple(function.output_names),
        UNSTABLE in flags or name in RECURSIVE,
        _refusal(name, flags),
    )


def _refusal(name: str, flags: list[str]) -> str:
    if PATH_DEPENDENT in flags:
        return "depends on the whole past, so live could not equal backtest; write it as a fold with a state"
    if name in POSITIONS:
        return "counts bars from where the history begins, so live could not equal backtest"
    return ""


def _lookback(signature: Signature, params: Mapping[str, Any]) -> int:
    function = _talib().abstract.Function(signature.name)
    function.parameters = dict(params)
    lookback = int(function.lookback)
    if lookback < 0:
        raise invalid_field(signature.name, f"TA-Lib refuses {dict(params)}; see its documentation for the ranges")
    return lookback


def _settle(signature: Signature, params: Mapping[str, float], lookback: int, settle: int | None) -> int:
    if settle is not None:
        if type(settle) is not int or settle < 0:
            raise invalid_field("settle", f"{settle!r}; give a whole number of bars, at least 0")
        return settle
    averages = any(name.endswith("matype") and kind != 0 for name, kind in params.items())
    return SETTLE_LOOKBACKS * (lookback + 1) if signature.recursive or averages else 0


def _check_parameter(signature: Signature, name: str, number: object) -> None:
    if name not in signature.defaults:
        known = ", ".join(signature.defaults) or "none"
        raise invalid_field(name, f"is no parameter of {signature.name}; its parameters are: {known}")
    whole = isinstance(signature.defaults[name], int)
    if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
        raise invalid_field(name, f"{number!r} of {signature.name}; give {'a whole number' if whole else 'a number'}")


def _names(signature: Signature) -> list[str]:
    """Return one input name per column: TA-Lib's, numbered where it names one column twice."""
    names = signature.columns
    return [f"{name}{index}" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _inputs(signature: Signature, nodes: tuple[Node, ...]) -> list[Node]:
    for node in nodes:
        if not isinstance(node, Node):
            raise invalid_field(signature.name, f"{node!r} is no node")
    if len(nodes) == 1 and nodes[0].has_columns:
        return [nodes[0][column] for column in signature.columns]
    if len(nodes) != len(signature.columns):
        wanted = ", ".join(signature.columns)
        raise invalid_field(signature.name, f"takes a stream, or {len(signature.columns)} nodes ({wanted})")
    return list(nodes)


@lru_cache(maxsize=1)
def _talib() -> Any:
    try:
        import talib
        import talib.abstract  # an optional extra
    except ImportError as error:
        raise QmtlError(
            Reason.NOT_CONFIGURED, "TA-Lib is not installed; run pip install 'qmtl[talib]'", metadata={"extra": "talib"}
        ) from error
    return talib
