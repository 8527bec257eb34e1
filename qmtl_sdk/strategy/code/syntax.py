"""The normal form of a syntax tree: our own table of node types and fields, the same under every Python version.

Left out, because they do not change what is computed: positions, comments, docstrings and other statements that are
a bare constant, ``pass``, type annotations, type parameters, string prefixes, and imports (what an imported name
means is resolved by definitions.py).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from qmtl_foundation.identity import Json
from qmtl_sdk.strategy.code.constants import constant
from qmtl_sdk.strategy.code.errors import CodeIdentityError

# The fields of each node type, in the order in which they are written. Never reorder: it changes every code hash.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    # definitions
    "FunctionDef": ("name", "args", "body", "decorator_list"),
    "AsyncFunctionDef": ("name", "args", "body", "decorator_list"),
    "Lambda": ("args", "body"),
    "arguments": ("posonlyargs", "args", "vararg", "kwonlyargs", "kw_defaults", "kwarg", "defaults"),
    "arg": ("arg",),
    # statements
    "Return": ("value",),
    "Delete": ("targets",),
    "Assign": ("targets", "value"),
    "AugAssign": ("target", "op", "value"),
    "For": ("target", "iter", "body", "orelse"),
    "AsyncFor": ("target", "iter", "body", "orelse"),
    "While": ("test", "body", "orelse"),
    "If": ("test", "body", "orelse"),
    "With": ("items", "body"),
    "AsyncWith": ("items", "body"),
    "withitem": ("context_expr", "optional_vars"),
    "Match": ("subject", "cases"),
    "match_case": ("pattern", "guard", "body"),
    "MatchValue": ("value",),
    "MatchSingleton": ("value",),
    "MatchSequence": ("patterns",),
    "MatchMapping": ("keys", "patterns", "rest"),
    "MatchClass": ("cls", "patterns", "kwd_attrs", "kwd_patterns"),
    "MatchStar": ("name",),
    "MatchAs": ("pattern", "name"),
    "MatchOr": ("patterns",),
    "Raise": ("exc", "cause"),
    "Try": ("body", "handlers", "orelse", "finalbody"),
    "TryStar": ("body", "handlers", "orelse", "finalbody"),
    "ExceptHandler": ("type", "name", "body"),
    "Assert": ("test", "msg"),
    "Nonlocal": ("names",),
    "Expr": ("value",),
    "Break": (),
    "Continue": (),
    # expressions
    "BoolOp": ("op", "values"),
    "NamedExpr": ("target", "value"),
    "BinOp": ("left", "op", "right"),
    "UnaryOp": ("op", "operand"),
    "IfExp": ("test", "body", "orelse"),
    "Dict": ("keys", "values"),
    "Set": ("elts",),
    "ListComp": ("elt", "generators"),
    "SetComp": ("elt", "generators"),
    "DictComp": ("key", "value", "generators"),
    "GeneratorExp": ("elt", "generators"),
    "comprehension": ("target", "iter", "ifs", "is_async"),
    "Await": ("value",),
    "Yield": ("value",),
    "YieldFrom": ("value",),
    "Compare": ("left", "ops", "comparators"),
    "Call": ("func", "args", "keywords"),
    "keyword": ("arg", "value"),
    "FormattedValue": ("value", "conversion", "format_spec"),
    "Attribute": ("value", "attr"),
    "Subscript": ("value", "slice"),
    "Starred": ("value",),
    "Name": ("id",),
    "List": ("elts",),
    "Tuple": ("elts",),
    "Slice": ("lower", "upper", "step"),
    # operators
    **dict.fromkeys(("And", "Or", "Not", "Invert", "UAdd", "USub"), ()),
    **dict.fromkeys(("Add", "Sub", "Mult", "MatMult", "Div", "Mod", "Pow", "FloorDiv"), ()),
    **dict.fromkeys(("LShift", "RShift", "BitOr", "BitXor", "BitAnd"), ()),
    **dict.fromkeys(("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE", "Is", "IsNot", "In", "NotIn"), ()),
}

# Fields that some version has and that do not change what is computed.
_SILENT_FIELDS: Final = frozenset({"annotation", "ctx", "kind", "returns", "type_comment", "type_params", "simple"})
# Function bodies and the like, where statements without effect are dropped.
_BLOCKS: Final = frozenset({"body", "orelse", "finalbody"})


def normal_tree(tree: ast.AST) -> Json:
    """Return the normal form of one function's tree: the same text for the same computation.

    The root's own name, decorators and default values are left out: the name is no part of the computation, and the
    decorated object and the *evaluated* defaults are the caller's to add. Raises CodeIdentityError for a node type
    that the table does not know.
    """
    written = _node(tree)
    if not isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return written
    arguments = [[arg.arg for arg in args] for args in (tree.args.posonlyargs, tree.args.args, tree.args.kwonlyargs)]
    rest = [arg.arg if arg else None for arg in (tree.args.vararg, tree.args.kwarg)]
    body = _block(tree.body) if not isinstance(tree, ast.Lambda) else [["Return", _node(tree.body)]]
    return [type(tree).__name__.replace("Lambda", "FunctionDef"), arguments, rest, body]


def _node(node: object) -> Json:
    name = type(node).__name__
    if isinstance(node, ast.AST):
        special = _SPECIAL.get(name)
        if special is not None:
            return special(node)
        fields = FIELDS.get(name)
        if fields is None:
            raise CodeIdentityError(f"syntax {name!r}", "has no canonical form", "write it without this construct")
        _refuse_unknown_fields(node, fields)
        return [name, *(_field(node, field) for field in fields)]
    raise TypeError(f"{name} is not a syntax node")


def _field(node: ast.AST, field: str) -> Json:
    value = getattr(node, field, None)
    if isinstance(value, list):
        if field in _BLOCKS:
            return _block(value)
        return [item if item is None or isinstance(item, str) else _node(item) for item in value]
    if isinstance(value, ast.AST):
        return _node(value)
    if field == "value" and type(node).__name__ == "MatchSingleton":
        return constant(value)
    return value if isinstance(value, str | int) else None


def _refuse_unknown_fields(node: ast.AST, known: Sequence[str]) -> None:
    for field in node._fields:
        if field not in known and field not in _SILENT_FIELDS and getattr(node, field, None):
            name = f"{type(node).__name__}.{field}"
            raise CodeIdentityError(f"syntax {name!r}", "has no canonical form", "write it without this construct")


def _block(statements: Iterable[ast.stmt]) -> list[Json]:
    return [_node(statement) for statement in statements if not _without_effect(statement)]


def _without_effect(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return type(statement.value).__name__ in _CONSTANT_TYPES
    return isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom)


def _annotated_assignment(node: Any) -> Json:
    if node.value is None:
        return ["Declare", _node(node.target)]  # still makes the name local
    return ["Assign", [_node(node.target)], _node(node.value)]


def _joined_string(node: Any) -> Json:
    """Merge neighbouring literal parts and drop empty ones: versions split them differently."""
    parts: list[list[Json]] = []
    literal = ""
    for value in [*node.values, None]:
        text = _literal(value) if type(value).__name__ in _CONSTANT_TYPES else None
        if isinstance(text, str):
            literal += text
            continue
        if literal:
            parts.append(["Constant", constant(literal)])
            literal = ""
        if value is not None:
            parts.append(_formatted(value))
    return ["JoinedStr", parts]


def _formatted(node: Any) -> list[Json]:
    spec = _node(node.format_spec) if node.format_spec is not None else None
    conversion = -1 if node.conversion is None else node.conversion
    return ["FormattedValue", _node(node.value), conversion, None if spec == ["JoinedStr", []] else spec]


def _literal(node: Any) -> object:
    # ast.Num and its kin of Python 3.7 call their value n or s; ast.Ellipsis has none.
    return next((getattr(node, field) for field in ("value", "n", "s") if field in node._fields), ...)


_CONSTANT_TYPES: Final = frozenset({"Constant", "Num", "Str", "Bytes", "NameConstant", "Ellipsis"})

_SPECIAL: Final[Mapping[str, Callable[[Any], Json]]] = {
    **dict.fromkeys(_CONSTANT_TYPES, lambda node: ["Constant", constant(_literal(node))]),
    "AnnAssign": _annotated_assignment,
    "JoinedStr": _joined_string,
    # Until Python 3.8 a subscript wrapped its slice.
    "Index": lambda node: _node(node.value),
    "ExtSlice": lambda node: ["Tuple", [_node(dimension) for dimension in node.dims]],
}
