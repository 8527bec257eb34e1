"""Gates and scores: CEL over ``metrics``, ``sample``, ``data`` and ``risk``, compiled once and judged per strategy.

The only module that touches ``cel_expr_python``. Its environment holds numbers, truth values and their operators and
nothing else (no text, lists, macros or regular expressions), so that a rule's cost is bounded by its length. A gate
passes only when each of its conjuncts is of type BOOL and True; an undefined metric fails before CEL, by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final, TypeGuard

from cel_expr_python import cel  # type: ignore[import-untyped]  # ships a stub without py.typed

from qmtl_foundation.statistics.catalog import METRICS
from qmtl_world.evaluation.expression import (
    Call,
    Constant,
    Term,
    UnreadableExpressionError,
    Variable,
    compared,
    conjuncts,
    read_checked,
    render,
    variables,
)
from qmtl_world.evaluation.model import SCORE_RULE, Facts, GateRule, RuleOutcome

MAX_RULE_CHARACTERS: Final = 1_000
SIDE_PROGRAMS: Final = 4_096  # compiled sides of comparisons that a process keeps

FACT_VARIABLES: Final[Mapping[str, str]] = {
    "sample.bars": "int",
    "sample.years": "double",
    "sample.trades": "int",
    "sample.trials": "int",
    "data.age_days": "double",
    "data.behind_days": "double",
    "data.coverage": "double",
    "data.gaps": "int",
    "risk.max_gross": "double",
    "risk.max_abs_net": "double",
    "risk.max_weight": "double",
}
VARIABLES: Final[Mapping[str, str]] = {f"metrics.{name}": "double" for name in METRICS} | dict(FACT_VARIABLES)

_COMPARABLE: Final = ("double", "int64")
_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "_&&_": ("logical_and",),
    "_||_": ("logical_or",),
    "!_": ("logical_not",),
    "_?_:_": ("conditional",),
    "_==_": ("equals",),
    "_!=_": ("not_equals",),
    "_<_": tuple(f"less_{kind}" for kind in _COMPARABLE),
    "_<=_": tuple(f"less_equals_{kind}" for kind in _COMPARABLE),
    "_>_": tuple(f"greater_{kind}" for kind in _COMPARABLE),
    "_>=_": tuple(f"greater_equals_{kind}" for kind in _COMPARABLE),
    "_+_": tuple(f"add_{kind}" for kind in _COMPARABLE),
    "_-_": tuple(f"subtract_{kind}" for kind in _COMPARABLE),
    "_*_": tuple(f"multiply_{kind}" for kind in _COMPARABLE),
    "_/_": tuple(f"divide_{kind}" for kind in _COMPARABLE),
    "_%_": ("modulo_int64",),
    "-_": tuple(f"negate_{kind}" for kind in _COMPARABLE),
    "double": ("int64_to_double",),
}
_FAULT: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'.*")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '\(([^']*)\)'")
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class RuleFault:
    """Say where in a rule's text (line and column from 1) something is wrong, and what."""

    line: int
    column: int
    reason: str


class RuleError(ValueError):
    """Refuse a rule, with all its faults."""

    def __init__(self, faults: tuple[RuleFault, ...]) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class _Condition:
    """One conjunct: its program, and the two sides where it compares (``value comparison limit``).

    ``numbers`` are all numbers that it compares anywhere: NaN and infinity compare too, and under ``!`` they would pass.
    """

    text: str
    program: Any
    names: tuple[str, ...]
    comparison: str = ""
    value: Term | None = None
    limit: Term | None = None
    numbers: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """A compiled gate."""

    name: str
    min_bars: int
    conditions: tuple[_Condition, ...]

    def judge(self, facts: Facts) -> tuple[RuleOutcome, ...]:
        """Return an outcome per conjunct, in their order; the gate passes when all of them do."""
        if facts.sample.bars < self.min_bars:
            names = " and ".join(dict.fromkeys(name for condition in self.conditions for name in condition.names))
            message = f"{self.name}: sample.bars = {facts.sample.bars}, needs >= {self.min_bars} to judge {names}"
            return (RuleOutcome(self.name, False, float(facts.sample.bars), float(self.min_bars), message),)
        bindings = bind(facts)
        return tuple(_judge(self.name, condition, bindings) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Score:
    """A compiled score; more is better."""

    text: str
    program: Any
    names: tuple[str, ...]

    def compute(self, facts: Facts) -> float | RuleOutcome:
        """Return the finite score, or the failed outcome that says why there is none."""
        bindings = bind(facts)
        if undefined := _undefined(self.names, bindings):
            return RuleOutcome(SCORE_RULE, False, None, None, f"score: {undefined}")
        result = self.program.eval(data=bindings)
        value = result.value()
        if not _is_number(value) or not math.isfinite(value):
            return RuleOutcome(SCORE_RULE, False, None, None, f"score: {self.text} has no finite value: {value}")
        return float(value)


def compile_gate(rule: GateRule, default_min_bars: int = 0) -> Gate:
    """Compile a gate, or raise RuleError with every fault of its text and the place of each."""
    program, term = _compile(rule.rule)
    if program.return_type() != cel.Type.BOOL:
        kind = _type_name(program)
        raise _fault(f"a gate must be true or false, this is a {kind}; compare it, as in {render(term)} >= 0.5")
    parts = conjuncts(term)
    conditions = tuple(_condition(part, program if len(parts) == 1 else None) for part in parts)
    return Gate(rule.name, default_min_bars if rule.min_bars is None else rule.min_bars, conditions)


def compile_score(text: str) -> Score:
    """Compile a score, or raise RuleError with every fault of its text and the place of each."""
    program, term = _compile(text)
    if not _yields_number(program):
        raise _fault(f"a score must be a number, this is a {_type_name(program)}")
    return Score(render(term), program, variables(term))


def bind(facts: Facts) -> dict[str, float | int]:
    """Return the value of each variable of a rule by its name; a metric that is not there has none."""
    bindings: dict[str, float | int] = {f"metrics.{name}": value for name, value in facts.metrics.items()}
    for group, values in (("sample", facts.sample), ("data", facts.data), ("risk", facts.risk)):
        bindings |= {f"{group}.{field}": getattr(values, field) for field in values.__dataclass_fields__}
    return bindings


@cache
def _environment() -> Any:
    functions = "\n".join(
        f'    - name: "{name}"\n      overloads:\n' + "\n".join(f'        - id: "{overload}"' for overload in overloads)
        for name, overloads in _FUNCTIONS.items()
    )
    config = cel.NewEnvConfigFromYaml(f"stdlib:\n  disable_macros: true\n  include_functions:\n{functions}\n")
    types = {"double": cel.Type.DOUBLE, "int": cel.Type.INT}
    return cel.NewEnv(config=config, variables={name: types[kind] for name, kind in VARIABLES.items()})


def _compile(text: str) -> tuple[Any, Term]:
    if len(text) > MAX_RULE_CHARACTERS:
        raise _fault(f"{len(text)} characters, at most {MAX_RULE_CHARACTERS}; split the rule into gates")
    if not text.strip():
        raise _fault("empty; write an expression such as metrics.sharpe >= 0.5")
    try:
        program = _environment().compile(text)
        term = read_checked(program.serialize())
    except UnreadableExpressionError as error:
        raise _fault(str(error)) from None
    except RuntimeError as error:
        raise RuleError(_faults(str(error))) from None
    if not _is_finite(term):
        raise _fault("a number here is too large for a double")
    return program, term


def _condition(term: Term, program: Any | None) -> _Condition:
    text = render(term)
    if program is None:
        program = _environment().compile(text)
    numbers = tuple(side for side in compared(term) if _yields_number(_side_program(render(side))))
    if not isinstance(term, Call) or term.comparison is None:
        return _Condition(text, program, variables(term), numbers=numbers)
    (value, limit), comparison = term.arguments, term.comparison
    if not _yields_number(_side_program(render(value))):
        return _Condition(text, program, variables(term), numbers=numbers)
    if isinstance(value, Constant) and not isinstance(limit, Constant):
        value, limit, comparison = limit, value, _MIRRORED[comparison]
    return _Condition(text, program, variables(term), comparison, value, limit)


def _judge(name: str, condition: _Condition, bindings: Mapping[str, float | int]) -> RuleOutcome:
    limit = _evaluate(condition.limit, bindings)
    if undefined := _undefined(condition.names, bindings):
        return RuleOutcome(name, False, None, limit, f"{name}: {undefined}; needs {_need(condition, limit)}")
    result = condition.program.eval(data=bindings)
    passed = result.type() == cel.Type.BOOL and result.value() is True
    if any(_evaluate(side, bindings) is None for side in condition.numbers if condition.value is None):
        tail = ", ".join(f"{variable} = {bindings[variable]:g}" for variable in condition.names)
        return RuleOutcome(name, False, None, None, f"{name}: {condition.text} compares no finite numbers with {tail}")
    if condition.value is None:
        return RuleOutcome(name, passed, None, None, _state(name, condition, bindings, result))
    value = _evaluate(condition.value, bindings)
    if value is None or limit is None:
        # A side without a finite number: an error, or a division by zero that compares as infinity.
        return RuleOutcome(name, False, value, limit, _state(name, condition, bindings, result))
    message = f"{name}: {render(condition.value)} = {value:g}, needs {_need(condition, limit)}"
    return RuleOutcome(name, passed, value, limit, message)


def _state(name: str, condition: _Condition, bindings: Mapping[str, float | int], result: Any) -> str:
    """Return the sentence for a condition that is no comparison of two finite numbers."""
    known = ", ".join(f"{variable} = {bindings[variable]:g}" for variable in condition.names)
    tail = f" with {known}" if known else ""
    if result.type() == cel.Type.BOOL and condition.value is None:
        return f"{name}: {condition.text} is {'true' if result.value() else 'false'}{tail}"
    why = "" if result.type() == cel.Type.BOOL else f" ({result.value()})"
    return f"{name}: {condition.text} compares no finite numbers{why}{tail}"


def _need(condition: _Condition, limit: float | None) -> str:
    if condition.limit is None or limit is None:
        return condition.text
    if isinstance(condition.limit, Constant):
        return f"{condition.comparison} {limit:g}"
    return f"{condition.comparison} {render(condition.limit)} = {limit:g}"


def _evaluate(side: Term | None, bindings: Mapping[str, float | int]) -> float | None:
    """Return the finite number that one side of a comparison has, None where it has none."""
    if side is None or _undefined(variables(side), bindings):
        return None
    if isinstance(side, Constant):
        value: object = side.value
    elif isinstance(side, Variable):
        value = bindings[side.name]
    else:
        value = _side_program(render(side)).eval(data=bindings).value()
    return float(value) if _is_number(value) and math.isfinite(value) else None


@lru_cache(maxsize=SIDE_PROGRAMS)
def _side_program(text: str) -> Any:
    return _environment().compile(text)


def _undefined(names: tuple[str, ...], bindings: Mapping[str, float | int]) -> str:
    """Return what is not a finite number among the variables, as a clause; empty when all are."""
    clauses = []
    for name in names:
        value = bindings.get(name)
        if value is None:
            clauses.append(f"{name} is missing")
        elif not math.isfinite(value):
            clauses.append(f"{name} is undefined on this sample ({value})")
    return ", ".join(clauses)


def _yields_number(program: Any) -> bool:
    return program.return_type() in (cel.Type.DOUBLE, cel.Type.INT)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(term: Term) -> bool:
    if isinstance(term, Call):
        return all(map(_is_finite, term.arguments))
    return not isinstance(term, Constant) or math.isfinite(term.value)


def _type_name(program: Any) -> str:
    return str(program.return_type().name()).lower()


def _fault(reason: str) -> RuleError:
    return RuleError((RuleFault(1, 1, reason),))


def _faults(message: str) -> tuple[RuleFault, ...]:
    found = [
        RuleFault(max(1, int(line)), max(1, int(column)), _explain(reason))
        for line, column, reason in _FAULT.findall(message)
        if "'(*error*" not in reason and ", *error*" not in reason  # follows from a fault that is listed
    ]
    return tuple(found) or (RuleFault(1, 1, _explain(message.splitlines()[0])),)


def _explain(reason: str) -> str:
    if undeclared := _UNDECLARED.fullmatch(reason):
        return _explain_unknown(undeclared[1])
    if overload := _OVERLOAD.match(reason):
        return _explain_types(overload[1].strip("_").replace("_", " "), overload[2])
    if "recursion" in reason:
        return "nested too deeply; at most 32 levels"
    return reason.split(" expecting {")[0]


def _explain_unknown(name: str) -> str:
    group = name.partition(".")[0]
    known = [variable for variable in VARIABLES if variable.startswith(f"{group}.")]
    if name != group and (close := get_close_matches(name, VARIABLES, n=1)):
        return f"unknown name {name}; did you mean {close[0]}?"
    if known:
        return f"unknown name {name}; known are {', '.join(known)}"
    return f"unknown name or function {name}; a rule has metrics, sample, data, risk, numbers and operators"


def _explain_types(operator: str, types: str) -> str:
    kinds = types.split(", ")
    if sorted(kinds) == ["double", "int"]:
        return f"{operator} cannot take {' and '.join(kinds)}; write numbers beside a double with a point, as in 1.0"
    return f"{operator} cannot take {' and '.join(kinds)}; write numbers without quotes"
