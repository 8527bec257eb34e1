"""The walk from a function to everything that decides what it computes, as one canonical document.

1. a function's tree, default values and outside names (scope.py)   -> one definition
2. each outside name: project code -> its own definition; library -> its qualified name; value -> its form
3. definitions refer to each other by number, in the order of discovery, so recursion is a number too
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, Final

from qmtl_foundation.identity import CODE_CONTEXT, Json, NoCanonicalFormError, canonical_json, content_id
from qmtl_sdk.strategy.code.errors import CodeIdentityError
from qmtl_sdk.strategy.code.escapes import refuse_by_name, refuse_clock_text
from qmtl_sdk.strategy.code.members import class_parts, function_attributes, member_attributes
from qmtl_sdk.strategy.code.origin import code_file, is_library, module_file, qualified_name, refuse_unfollowable
from qmtl_sdk.strategy.code.scope import Imported, Use, first_parameter, outside
from qmtl_sdk.strategy.code.source import function_tree
from qmtl_sdk.strategy.code.syntax import normal_tree
from qmtl_sdk.strategy.code.values import artifact_form, no_canonical_form, plain_form, refuse_bulk

SCHEMA: Final = "qmtl.code/1"

# Of a class: what the interpreter writes there, differing between versions.
_DATACLASS_FLAGS: Final = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")


def code_hash(function: Callable[..., Any]) -> str:
    """Return ``blake3:<hex>`` of what ``function`` computes, with all project code and values that it uses.

    The same in every folder and under every Python version; changed by any constant, name or captured value that
    it uses, at any depth. Library code counts by its qualified name. Raises CodeIdentityError, naming what has no
    source, no canonical form, or cannot be followed.
    """
    walk = _Walk(_home(function))
    try:
        root = walk.reference(_called(function), getattr(function, "__name__", type(function).__name__))
        return content_id(CODE_CONTEXT, {"definitions": walk.definitions, "root": root, "schema": SCHEMA})
    except (NoCanonicalFormError, RecursionError) as error:
        subject = f"function {getattr(function, '__qualname__', repr(function))!r}"
        raise CodeIdentityError(subject, "is nested too deeply", "split it into smaller functions") from error


def _home(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    scope = getattr(function, "__globals__", {})
    return str(scope.get("__name__", getattr(function, "__module__", "")))


def _called(function: Any) -> Any:
    """Return the method behind an author's own object that can be called; what has a form of its own stays."""
    method = inspect.getattr_static(type(function), "__call__", None)
    formless = not dataclasses.is_dataclass(function) and artifact_form(function) is None
    return function.__call__ if isinstance(method, FunctionType) and formless else function


class _Walk:
    """Collect definitions; ``reference`` returns the form under which one value stands in the document."""

    def __init__(self, home: str) -> None:
        self.definitions: list[Json] = []
        self._home = home
        self._numbers: dict[tuple[int, int], int] = {}
        self._alive: list[object] = []  # so that no id() is given twice

    def reference(self, value: Any, where: str) -> Json:
        form = plain_form(value) or artifact_form(value)
        if form is not None:
            refuse_bulk(value, where)
            refuse_clock_text(value)
            return ["value", form]
        for kinds, write in self._writers():
            if isinstance(value, kinds):
                return write(value, where)
        if dataclasses.is_dataclass(value):
            return self._instance(value, where)
        return self._library_object(value, where)

    def _writers(self) -> tuple[tuple[type | tuple[type, ...], Callable[[Any, str], Json]], ...]:
        return (
            (enum.Enum, self._enum_member),
            ((tuple, frozenset, slice, MappingProxyType), self._container),
            (FunctionType, self._function),
            (MethodType, self._method),
            (BuiltinFunctionType, self._builtin),
            (functools.partial, self._partial),
            (type, self._class),
        )

    # ---- values that hold others

    def _enum_member(self, value: enum.Enum, where: str) -> Json:
        return ["member", self.reference(type(value), where), value.name]

    def _container(self, value: Any, where: str) -> Json:
        refuse_bulk(value, where)
        if isinstance(value, slice):
            return ["slice", *self._items((value.start, value.stop, value.step), where)]
        if isinstance(value, MappingProxyType):
            return ["mapping", *(self._items(pair, where) for pair in value.items())]
        items = self._items(value, where)
        if isinstance(value, frozenset):
            return ["frozenset", *sorted(items, key=canonical_json)]
        if type(value) is tuple:
            return ["tuple", *items]
        return ["tuple of", self.reference(type(value), where), *items]

    def _items(self, values: Iterable[object], where: str) -> list[Json]:
        return [self.reference(item, f"{where}[{position}]") for position, item in enumerate(values)]

    def _instance(self, value: Any, where: str) -> Json:
        names = [field.name for field in dataclasses.fields(value)]
        extra = sorted(set(getattr(value, "__dict__", ())) - set(names))
        if extra:
            mend = "make it a field of the dataclass"
            raise CodeIdentityError(f"captured value '{where}.{extra[0]}'", "is not a field of its dataclass", mend)
        fields = [[name, self.reference(getattr(value, name), f"{where}.{name}")] for name in names]
        return ["instance", self.reference(type(value), where), fields]

    def _partial(self, value: functools.partial[Any], where: str) -> Json:
        keywords = [[key, self.reference(item, f"{where}.{key}")] for key, item in sorted(value.keywords.items())]
        return ["partial", self.reference(value.func, where), self._items(value.args, where), keywords]

    # ---- functions

    def _function(self, value: FunctionType, where: str) -> Json:
        module = str(value.__globals__.get("__name__", ""))
        if not is_library(module, code_file(value), self._home):
            return self._define(value, value, where, lambda: self._function_definition(value, None))
        qualified = qualified_name(value, where)
        if qualified is not None and self._is_library(qualified):
            return _library(qualified, where)
        # A library's decorator around code of the project: known by its own name and by what it holds.
        held = [self.reference(self._cell(value, name), f"{where}.{name}") for name in value.__code__.co_freevars]
        carried = self._set_on(function_attributes(value), where)
        return ["library function", f"{module}.{value.__code__.co_qualname}", held, self._defaults(value), *carried]

    def _method(self, value: MethodType, where: str) -> Json:
        function, owner = value.__func__, value.__self__
        by_value = isinstance(owner, type | enum.Enum | tuple) or dataclasses.is_dataclass(owner)
        if by_value or not isinstance(function, FunctionType) or plain_form(owner) is not None:
            return ["method", self.reference(function, where), self.reference(owner, where)]
        qualified = f"{type(owner).__module__}.{type(owner).__qualname__}.{function.__name__}"
        refuse_unfollowable(qualified, f"name {where!r}")
        if self._is_library_function(function):
            raise no_canonical_form(owner, where)
        # The author's own object: only the attributes that the method uses count.
        return self._define(function, owner, where, lambda: self._function_definition(function, owner))

    def _builtin(self, value: BuiltinFunctionType, where: str) -> Json:
        if where != value.__name__:  # under its own name, scope.py sees what it is called with
            refuse_by_name(value.__name__)
        qualified = qualified_name(value, where) or f"{value.__module__}.{value.__qualname__}"
        if value.__self__ is None or isinstance(value.__self__, ModuleType):
            return _library(qualified, where)
        refuse_unfollowable(qualified, f"name {where!r}")
        return ["method", ["library", qualified], self.reference(value.__self__, where)]

    def _define(self, value: object, owner: object, where: str, write: Callable[[], Json]) -> Json:
        key = (id(value), id(owner))
        if key not in self._numbers:
            self._alive += [value, owner]
            self._numbers[key] = number = len(self.definitions)
            self.definitions.append(None)
            self.definitions[number] = write()
        return ["definition", self._numbers[key]]

    def _function_definition(self, function: FunctionType, receiver: object) -> Json:
        tree = function_tree(function)
        own = first_parameter(tree) if receiver is not None else None
        taken = outside(tree, own)
        names: dict[str, list[Use]] = {}
        for use in taken.uses:
            names.setdefault(use.name, []).append(use)
        for name in function.__code__.co_freevars:
            names.setdefault(name, [Use(name)])
        meanings: dict[str, Json] = {}
        for name in sorted(names):
            _refuse_stores(names[name])
            if name == own:
                meanings.update(self._attributes(receiver, names[name]))
            else:
                value = self._resolve(function, name, taken.imports)
                meanings.update(self._meanings(value, names[name]))
        for refusal in taken.refusals:
            raise refusal
        return [
            "function",
            normal_tree(tree),
            sorted([key, form] for key, form in meanings.items()),
            self._defaults(function),
            *self._set_on(function_attributes(function), function.__name__),
        ]

    def _defaults(self, function: FunctionType) -> Json:
        name = function.__name__
        positional = self._items(function.__defaults__ or (), f"default of {name}")
        keywords = sorted((function.__kwdefaults__ or {}).items())
        return [positional, [[key, self.reference(value, f"{name}({key}=…)")] for key, value in keywords]]

    # ---- names

    def _resolve(self, function: FunctionType, name: str, imports: dict[str, Imported]) -> object:
        if name in imports:
            return _imported(imports[name], function, name)
        if name in function.__code__.co_freevars:
            return self._cell(function, name)
        if name in function.__globals__:
            return function.__globals__[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        problem = f"is not defined where function {function.__qualname__!r} uses it"
        raise CodeIdentityError(f"name {name!r}", problem, "define it before the node is made")

    def _cell(self, function: FunctionType, name: str) -> object:
        position = function.__code__.co_freevars.index(name)
        try:
            return (function.__closure__ or ())[position].cell_contents
        except ValueError as error:
            raise CodeIdentityError(
                f"captured name {name!r}", "has no value yet", "assign it before the node"
            ) from error

    def _meanings(self, value: object, uses: list[Use]) -> dict[str, Json]:
        if isinstance(value, ModuleType):
            return dict(self._member(value, use) for use in uses)
        name = uses[0].name
        form = self.reference(value, name)
        if isinstance(form, list) and form[0] == "library":
            for use in uses:
                refuse_unfollowable(
                    ".".join((str(form[1]), *use.attributes)), f"name {'.'.join((name, *use.attributes))!r}"
                )
        return {name: form}

    def _member(self, module: ModuleType, use: Use) -> tuple[str, Json]:
        """Follow ``helpers.deeper.THRESHOLD`` through modules to the first thing that is none."""
        path, rest = use.name, list(use.attributes)
        while rest:
            name = rest.pop(0)
            if module is builtins:
                mend = "call what you need by its name"
                raise CodeIdentityError(f"name {path!r}", "is the module builtins", mend)
            child = vars(module).get(name, sys.modules.get(f"{module.__name__}.{name}"))
            if not isinstance(child, ModuleType):
                return self._leaf(module, (path, name, *rest), child)
            module, path = child, f"{path}.{name}"
        raise no_canonical_form(module, path)

    def _leaf(self, module: ModuleType, names: tuple[str, ...], value: object) -> tuple[str, Json]:
        path, name, *rest = names
        where = f"{path}.{name}"
        if is_library(module.__name__, module_file(module), self._home):
            refuse_unfollowable(".".join((module.__name__, name, *rest)), f"name {'.'.join((where, *rest))!r}")
            return path, ["library", module.__name__]
        if name not in vars(module):
            raise CodeIdentityError(f"name {where!r}", "is not defined", "define it, or import the submodule")
        return next(iter(self._meanings(value, [Use(where, tuple(rest))]).items()))

    def _attributes(self, receiver: Any, uses: list[Use]) -> dict[str, Json]:
        meanings: dict[str, Json] = {}
        for use in sorted(uses, key=lambda use: use.attributes):
            if not use.attributes:
                raise no_canonical_form(receiver, use.name)
            where = f"{use.name}.{use.attributes[0]}"
            # The place of the receiver's name says nothing; its attribute does.
            meanings[f".{use.attributes[0]}"] = self._attribute(receiver, use.attributes[0], where)
        return meanings

    def _attribute(self, receiver: Any, name: str, where: str) -> Json:
        static = inspect.getattr_static(receiver, name, None)
        if isinstance(static, property) and isinstance(static.fget, FunctionType):
            getter = static.fget
            return self._define(getter, receiver, where, lambda: self._function_definition(getter, receiver))
        if not hasattr(receiver, name):
            raise CodeIdentityError(f"name {where!r}", "is not defined", "set it before the node is made")
        return self.reference(getattr(receiver, name), where)

    # ---- classes and library objects

    def _class(self, value: type, where: str) -> Json:
        module = sys.modules.get(value.__module__)
        if is_library(value.__module__, module_file(module), self._home):
            return _library(qualified_name(value, where) or f"{value.__module__}.{value.__qualname__}", where)
        return self._define(value, value, where, lambda: self._class_definition(value))

    def _class_definition(self, value: type) -> Json:
        bases = [self.reference(base, base.__name__) for base in value.__bases__]
        meta = self.reference(type(value), type(value).__name__)
        return ["class", bases, meta, self._generated(value), self._members(value)]

    def _generated(self, value: type) -> Json:
        """Stand for what a decorator or base class generated: the fields of a dataclass or of a named tuple."""
        if "__dataclass_fields__" in vars(value):
            flags = [bool(getattr(vars(value)["__dataclass_params__"], flag)) for flag in _DATACLASS_FLAGS]
            return ["dataclass", flags, [self._field(field) for field in dataclasses.fields(value)]]
        if "_field_defaults" in vars(value) and "_fields" in vars(value):
            defaults = vars(value)["_field_defaults"].items()
            names: list[Json] = list(vars(value)["_fields"])
            return ["namedtuple", names, [[key, self.reference(item, key)] for key, item in defaults]]
        if issubclass(value, enum.Enum):
            return ["enum", [self._enum_value(item, key) for key, item in value.__members__.items()]]
        return None

    def _enum_value(self, member: enum.Enum, name: str) -> Json:
        return [name, self.reference(member.value, name), *self._set_on(member_attributes(member), name)]

    def _field(self, field: dataclasses.Field[Any]) -> Json:
        default = None if field.default is dataclasses.MISSING else self.reference(field.default, field.name)
        factory = field.default_factory
        made = None if factory is dataclasses.MISSING else self.reference(factory, field.name)
        return [field.name, default, made, field.init, field.compare, field.kw_only is True]

    def _members(self, value: type) -> Json:
        return [
            [name, role, self.reference(part, f"{value.__name__}.{name}")] for name, role, part in class_parts(value)
        ]

    def _set_on(self, pairs: list[tuple[str, object]], where: str) -> list[Json]:
        return [[name, self.reference(item, f"{where}.{name}")] for name, item in pairs]

    def _is_library_function(self, function: FunctionType) -> bool:
        return is_library(str(function.__globals__.get("__name__", "")), code_file(function), self._home)

    def _library_object(self, value: Any, where: str) -> Json:
        wrapped = inspect.getattr_static(value, "__dict__", {}) and vars(value).get("__wrapped__")
        if isinstance(wrapped, FunctionType) and not self._is_library_function(wrapped):
            # Such as functools.lru_cache and numba.njit: the library's type around code of the project.
            options = sorted(getattr(value, "targetoptions", {}).items())
            written = [[key, self.reference(item, f"{where}.{key}")] for key, item in options]
            return ["wrapped", self.reference(type(value), where), written, self.reference(wrapped, where)]
        qualified = qualified_name(value, where.rpartition(".")[2])
        if qualified is None or not self._is_library(qualified):
            raise no_canonical_form(value, where)
        return _library(qualified, where)

    def _is_library(self, qualified: str) -> bool:
        module = qualified
        while module and module not in sys.modules:
            module = module.rpartition(".")[0]
        return is_library(module, module_file(sys.modules.get(module)), self._home)


def _library(qualified: str, where: str) -> Json:
    refuse_unfollowable(qualified, f"name {where!r}")
    return ["library", qualified]


def _refuse_stores(uses: list[Use]) -> None:
    for use in uses:
        if use.stored:
            name = ".".join((use.name, *use.attributes))
            mend = "keep state in a fold node; a function only returns"
            raise CodeIdentityError(f"captured name {name!r}", "is written to", mend)


def _imported(found: Imported, function: FunctionType, name: str) -> object:
    package = function.__globals__.get("__package__")
    try:
        full = importlib.util.resolve_name("." * found.level + found.module, package)
        module = importlib.import_module(full)
        if found.member is None:
            return module
        if not found.member:
            return sys.modules[full.partition(".")[0]]
        if hasattr(module, found.member):
            return getattr(module, found.member)
        return importlib.import_module(f"{full}.{found.member}")
    except ImportError as error:
        raise CodeIdentityError(
            f"name {name!r}", f"cannot be imported ({error})", "install it, or mend the import"
        ) from error
