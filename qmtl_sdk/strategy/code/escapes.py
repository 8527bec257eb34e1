"""The attributes and calls that lead out of what can be followed, refused wherever they stand in a function."""

from __future__ import annotations

import ast
from typing import Final, TypeGuard

from qmtl_sdk.strategy.code.errors import CodeIdentityError

# What reaches the interpreter's own records: code, namespaces, frames, the memory under an array.
_ESCAPES: Final = frozenset(
    {
        "__annotations__",
        "__array_interface__",
        "__array_struct__",
        "__bases__",
        "__builtins__",
        "__class__",
        "__closure__",
        "__code__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__defaults__",
        "__delattr__",
        "__dict__",
        "__doc__",
        "__func__",
        "__getattr__",
        "__getattribute__",
        "__getstate__",
        "__globals__",
        "__import__",
        "__kwdefaults__",
        "__loader__",
        "__match_args__",
        "__module__",
        "__mro__",
        "__qualname__",
        "__reduce__",
        "__reduce_ex__",
        "__self__",
        "__setstate__",
        "__spec__",
        "__subclasses__",
        "__weakref__",
        "__wrapped__",
        "_abc_impl",
        "_field_defaults",
        "_member_map_",
        "_member_names_",
        "_unhashable_values_",
        "_value2member_map_",
        "ctypes",
        "f_back",
        "f_globals",
        "f_locals",
        "gi_frame",
        "mro",
        "tb_frame",
    }
)
# Methods that read the clock or files, of objects whose type nobody can tell from the source.
_OUTWARD: Final = frozenset({"DataSource", "deserialize", "fromfile", "now", "today", "tofile", "utcnow"})
_OUTWARD_STEMS: Final = ("read_", "scan_", "sink_", "write_")
_CLOCK_TEXTS: Final = frozenset({"now", "today"})
_BY_NAME: Final = frozenset({"getattr", "hasattr"})
_NAMED: Final = "a node function uses only what can be followed by name"


def refuse_escape(name: str, holder: str) -> None:
    """Raise CodeIdentityError for an attribute that leads out; ``holder`` is the function that uses it."""
    if name == "__setattr__" and holder in ("__init__", "__post_init__"):
        return  # how a frozen dataclass completes itself
    if name in _ESCAPES or name == "__setattr__":
        raise CodeIdentityError(f"attribute {name!r}", "leads out of what can be followed", _NAMED)


def refuse_outward(name: str) -> None:
    """Raise CodeIdentityError for a method of an unknown object that reads the clock or the outside world."""
    if name in _OUTWARD or name.startswith(_OUTWARD_STEMS):
        mend = "take time and data from the view, a StreamInput or a registered artifact"
        raise CodeIdentityError(f"attribute {name!r}", "reads past the node's inputs", mend)


def refuse_clock_text(value: object) -> None:
    """Raise CodeIdentityError for a text that NumPy and pandas read as the present time."""
    if isinstance(value, str) and value.strip().lower() in _CLOCK_TEXTS:
        mend = "take the time from the view's timestamps"
        raise CodeIdentityError(f"text {value!r}", "stands for the clock in NumPy and pandas", mend)


def is_named_access(node: ast.AST) -> TypeGuard[ast.Call]:
    """Tell a call of ``getattr`` or ``hasattr``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BY_NAME


def named_attribute(node: ast.Call) -> str | None:
    """Return the attribute that a call of ``getattr`` states as a literal, None when it does not."""
    name = node.args[1] if len(node.args) > 1 else None
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None


def refuse_by_name(name: str) -> None:
    """Raise CodeIdentityError for ``getattr`` under a name that the source does not state, or handed on."""
    if name in _BY_NAME:
        mend = "write the attribute directly, or as a literal second argument"
        raise CodeIdentityError(f"name {name!r}", "takes an attribute that the source does not name", mend)
