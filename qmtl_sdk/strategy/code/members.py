"""What a followed function, class or enum member carries besides its own code: all of it, private or not.

Left out is only what the interpreter, ``dataclass``, ``NamedTuple``, ``enum`` and ``abc`` write there themselves;
code cannot reach those entries either (scope.py refuses their names).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final

from qmtl_sdk.strategy.code.errors import CodeIdentityError

Part = tuple[str, str, object]  # name, role, what stands there

_INTERPRETER: Final = frozenset(
    {
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__match_args__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__static_attributes__",
        "__type_params__",
        "__weakref__",
    }
)
_ABSTRACT: Final = frozenset(
    {
        "__abstractmethods__",
        "__non_callable_proto_members__",
        "__protocol_attrs__",
        "_abc_impl",
        "_is_protocol",
        "_is_runtime_protocol",
    }
)
_ENUM: Final = frozenset(
    {
        "__new_member__",
        "__objclass__",
        "_all_bits_",
        "_boundary_",
        "_flag_mask_",
        "_hashable_values_",
        "_inverted_",
        "_member_map_",
        "_member_names_",
        "_member_type_",
        "_name_",
        "_new_member_",
        "_singles_mask_",
        "_sort_order_",
        "_unhashable_values_",
        "_unhashable_values_map_",
        "_use_args_",
        "_value2member_map_",
        "_value_",
        "_value_repr_",
    }
)
_NAMED_TUPLE: Final = frozenset(
    {
        "__getnewargs__",
        "__new__",
        "__replace__",
        "__repr__",
        "_asdict",
        "_field_defaults",
        "_fields",
        "_make",
        "_replace",
    }
)
_DATACLASS: Final = frozenset(
    {
        "__delattr__",
        "__eq__",
        "__ge__",
        "__getstate__",
        "__gt__",
        "__hash__",
        "__init__",
        "__le__",
        "__lt__",
        "__replace__",
        "__repr__",
        "__setattr__",
        "__setstate__",
    }
)
# The modules of what dataclass and NamedTuple add.
_GENERATORS: Final = frozenset({"dataclasses", "collections", "reprlib", "typing", "_collections_abc"})


def class_parts(value: type) -> list[Part]:
    """Return what the author put into the namespace of a class, by name: data, functions, and what wraps them.

    Raises CodeIdentityError for a cached property, which keeps state on its object.
    """
    parts: list[Part] = []
    for name, member in sorted(vars(value).items()):
        if _is_machinery(value, name, member):
            continue
        if isinstance(member, functools.cached_property):
            mend = "make it a property: a function of a node keeps no state"
            raise CodeIdentityError(f"name '{value.__name__}.{name}'", "is a functools.cached_property", mend)
        parts += [(name, role, part) for role, part in _unwrapped(member)]
    return parts


def function_attributes(function: Any) -> list[tuple[str, object]]:
    """Return what was set on a function object; ``__wrapped__`` says only what a decorator closes over anyway."""
    return sorted((name, value) for name, value in vars(function).items() if name != "__wrapped__")


def member_attributes(member: enum.Enum) -> list[tuple[str, object]]:
    """Return what an enum member carries besides its name and value."""
    return sorted((name, value) for name, value in vars(member).items() if name not in _ENUM)


def _is_machinery(value: type, name: str, member: object) -> bool:
    if name in _INTERPRETER or (name in _ABSTRACT and type(value) is not type):
        return True
    if isinstance(member, MemberDescriptorType | GetSetDescriptorType):
        return member.__objclass__ is value  # a slot
    if issubclass(value, enum.Enum) and (name in _ENUM or name in value.__members__):
        return True
    if any(vars(base).get(name) is member for base in value.__mro__[1:]) and callable(member):
        return True  # copied down, as enum does: stands in its base
    return _is_generated(value, name, member)


def _is_generated(value: type, name: str, member: object) -> bool:
    """Tell what dataclass and NamedTuple made of the fields, which are written as such."""
    if "_field_defaults" in vars(value) and name in _NAMED_TUPLE:
        return not _is_project_code(member)
    if "_fields" in vars(value) and name in vars(value)["_fields"]:
        return type(member).__name__ == "_tuplegetter"
    if "__dataclass_fields__" not in vars(value):
        return False
    fields = {field.name: field for field in dataclasses.fields(value)}
    if name in fields:
        return member is fields[name].default
    return name in _DATACLASS and not _is_project_code(member)


def _is_project_code(member: object) -> bool:
    function = getattr(member, "__func__", member)
    if not isinstance(function, FunctionType):
        return False
    module = str(function.__globals__.get("__name__", ""))
    # The generated ones have no file; what a notebook's cell defines has one of another name.
    return function.__code__.co_filename != "<string>" and module not in _GENERATORS


def _unwrapped(member: object) -> list[tuple[str, object]]:
    if isinstance(member, property):
        roles = (("get", member.fget), ("set", member.fset), ("delete", member.fdel))
        return [(role, function) for role, function in roles if function is not None]
    if isinstance(member, classmethod | staticmethod):
        return [(type(member).__name__, member.__func__)]
    if isinstance(member, FunctionType):
        return [("function", member)]
    return [("value", member)]
