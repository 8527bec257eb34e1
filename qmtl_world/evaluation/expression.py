"""The syntax tree of a checked CEL expression: read it from CEL's serialised form, split it, print it again.

CEL's Python runtime evaluates a rule as a whole; to say what was compared with what, its sides are needed. They stand
in the protobuf ``cel.expr.CheckedExpr`` (github.com/google/cel-spec: proto/cel/expr), of which few fields are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Field numbers of google.protobuf.Any, cel.expr.CheckedExpr, Expr, Expr.Ident, Expr.Call and Constant.
_ANY_VALUE: Final = 2
_CHECKED_EXPR: Final = 4
_EXPR_CONSTANT: Final = 3
_EXPR_IDENT: Final = 4
_EXPR_CALL: Final = 6
_IDENT_NAME: Final = 1
_CALL_FUNCTION: Final = 2
_CALL_ARGUMENT: Final = 3
_CONSTANT_BOOL: Final = 2
_CONSTANT_INT: Final = 3
_CONSTANT_DOUBLE: Final = 5

# CEL's operators by the name of their function: symbol and precedence (higher binds tighter).
_BINARY: Final = {
    "_||_": ("||", 2),
    "_&&_": ("&&", 3),
    "_<_": ("<", 4),
    "_<=_": ("<=", 4),
    "_>_": (">", 4),
    "_>=_": (">=", 4),
    "_==_": ("==", 4),
    "_!=_": ("!=", 4),
    "_+_": ("+", 5),
    "_-_": ("-", 5),
    "_*_": ("*", 6),
    "_/_": ("/", 6),
    "_%_": ("%", 6),
}
_UNARY: Final = {"!_": "!", "-_": "-"}
_TERNARY: Final = "_?_:_"
_TERNARY_PRECEDENCE: Final = 1
_UNARY_PRECEDENCE: Final = 7
_COMPARISON_PRECEDENCE: Final = 4


@dataclass(frozen=True, slots=True)
class Constant:
    """A number or a truth value."""

    value: float | int | bool


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable by its full name, such as ``metrics.sharpe``."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or a function of its arguments, by CEL's name of it: ``a >= b`` is ``_>=_``."""

    function: str
    arguments: tuple[Term, ...]

    @property
    def comparison(self) -> str | None:
        """Return the symbol of a comparison, None for any other call."""
        symbol, precedence = _BINARY.get(self.function, ("", 0))
        return symbol if precedence == _COMPARISON_PRECEDENCE else None


Term = Constant | Variable | Call


class UnreadableExpressionError(ValueError):
    """Report a form that rules do not have: lists, maps, messages, texts, comprehensions."""


def read_checked(serialized: bytes) -> Term:
    """Return the tree of a checked expression in CEL's serialised form (an Any of CheckedExpr).

    Raises UnreadableExpressionError for a form that rules do not have.
    """
    return _expression(_message(_message(serialized, _ANY_VALUE), _CHECKED_EXPR))


def conjuncts(term: Term) -> tuple[Term, ...]:
    """Return the parts that must all hold for the term to hold, in their order: ``a && b && c`` has three."""
    if isinstance(term, Call) and term.function == "_&&_":
        return tuple(part for argument in term.arguments for part in conjuncts(argument))
    return (term,)


def variables(term: Term) -> tuple[str, ...]:
    """Return the names of the variables that a term refers to, each once, in their order."""
    return tuple(dict.fromkeys(_names(term)))


def compared(term: Term) -> tuple[Term, ...]:
    """Return every side of every comparison in a term, however deep under ``!``, ``||`` and ``?:``."""
    if not isinstance(term, Call):
        return ()
    own = term.arguments if term.comparison is not None else ()
    return (*own, *(side for argument in term.arguments for side in compared(argument)))


def render(term: Term) -> str:
    """Return CEL text for a term, with no parentheses but the needed ones."""
    return _render(term, 0)


def _names(term: Term) -> Iterator[str]:
    if isinstance(term, Variable):
        yield term.name
    elif isinstance(term, Call):
        for argument in term.arguments:
            yield from _names(argument)


def _render(term: Term, outer: int) -> str:
    if isinstance(term, Constant):
        return str(term.value).lower()
    if isinstance(term, Variable):
        return term.name
    text, precedence = _render_call(term)
    return f"({text})" if precedence < outer else text


def _render_call(term: Call) -> tuple[str, int]:
    arguments = term.arguments
    if term.function in _BINARY:
        symbol, precedence = _BINARY[term.function]
        # Operators group to the left: the right side needs parentheses at the same precedence.
        return f"{_render(arguments[0], precedence)} {symbol} {_render(arguments[1], precedence + 1)}", precedence
    if term.function in _UNARY:
        return _UNARY[term.function] + _render(arguments[0], _UNARY_PRECEDENCE + 1), _UNARY_PRECEDENCE
    if term.function == _TERNARY:
        test, yes, no = (_render(argument, _TERNARY_PRECEDENCE + 1) for argument in arguments)
        return f"{test} ? {yes} : {no}", _TERNARY_PRECEDENCE
    return f"{term.function}({', '.join(map(render, arguments))})", _UNARY_PRECEDENCE + 1


def _expression(encoded: bytes) -> Term:
    for number, value in _fields(encoded):
        if isinstance(value, int):
            continue
        if number == _EXPR_CONSTANT:
            return _constant(value)
        if number == _EXPR_IDENT:
            return Variable(_message(value, _IDENT_NAME).decode())
        if number == _EXPR_CALL:
            return _call(value)
    raise UnreadableExpressionError("lists, maps and messages have no place in a rule")


def _call(encoded: bytes) -> Call:
    parts = [(number, value) for number, value in _fields(encoded) if isinstance(value, bytes)]
    function = next(value.decode() for number, value in parts if number == _CALL_FUNCTION)
    return Call(function, tuple(_expression(value) for number, value in parts if number == _CALL_ARGUMENT))


def _constant(encoded: bytes) -> Constant:
    for number, value in _fields(encoded):
        if number == _CONSTANT_BOOL:
            return Constant(bool(value))
        if number == _CONSTANT_INT and isinstance(value, int):
            return Constant(value - (1 << 64) if value >> 63 else value)
        if number == _CONSTANT_DOUBLE and isinstance(value, bytes):
            return Constant(float(struct.unpack("<d", value)[0]))
    raise UnreadableExpressionError("only numbers and truth values have a place in a rule: no text, bytes, null or 1u")


def _message(encoded: bytes, wanted: int) -> bytes:
    return next((value for number, value in _fields(encoded) if number == wanted and isinstance(value, bytes)), b"")


def _fields(encoded: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message (protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(encoded):
        tag, at = _varint(encoded, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = _varint(encoded, at)
            yield number, value
            continue
        length = 8
        if wire_type == 2:
            length, at = _varint(encoded, at)
        yield number, encoded[at : at + length]
        at += length


def _varint(encoded: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = encoded[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
