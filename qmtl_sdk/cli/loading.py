"""Strategies by name: ``FILE_OR_MODULE[:Class]`` becomes a class, ``--param`` its parameters, ``--grid`` lists of them.

A file is imported as Python would import it from its own folder, so that helpers beside it are found; inside a package
it keeps its place there, so that relative imports work.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason, invalid_field
from qmtl_sdk.strategy.parameters import Parameter, check_names, declared_parameters
from qmtl_sdk.strategy.strategy import Strategy

FIELD: Final = "strategy"
TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load_strategy(named: str, parameters: Sequence[str] = ()) -> Strategy:
    """Return the strategy that ``FILE_OR_MODULE[:Class]`` names, with parameters of the form ``name=value``.

    Raises QmtlError as ``load_class``, and INVALID_FIELD for what is no value of its parameter.
    """
    strategy = load_class(named)
    return strategy(**parse_parameters(strategy, parameters))


def load_class(named: str) -> type[Strategy]:
    """Return the strategy class that ``FILE_OR_MODULE[:Class]`` names.

    Raises QmtlError: INVALID_FIELD for what cannot be found, INVALID_STRATEGY for code that cannot be imported or has
    not exactly one strategy where none is named.
    """
    place, _, class_name = named.partition(":")
    if not place:
        raise _refused(f"{named!r} names no file; write such as momentum.py:SmaCross")
    module = _import_file(Path(place)) if place.endswith(".py") or "/" in place else _import_module(place)
    return _named(module, place, class_name) if class_name else _only(module, place)


def parse_parameters(strategy: type[Strategy], texts: Sequence[str]) -> dict[str, Parameter]:
    """Return the values of ``name=value`` texts by the types of the strategy's parameters.

    A name that the strategy does not have stays as it is: the strategy refuses it, naming those it has.
    """
    kinds = declared_parameters(strategy, Strategy)
    stated = _by_name("param", texts, "name=value; write such as fast=5")
    return {name: _value(name, kinds.get(name, str), value) for name, value in stated.items()}


def parse_grid(strategy: type[Strategy], texts: Sequence[str]) -> dict[str, list[Parameter]]:
    """Return the values of ``name=value,value`` texts by the types of the strategy's parameters, in their order.

    Raises QmtlError INVALID_FIELD naming the parameter that the strategy does not have, or the bad value.
    """
    kinds = declared_parameters(strategy, Strategy)
    stated = _by_name("grid", texts, "name=value,value; write such as fast=5,10")
    check_names(strategy, Strategy, stated)
    return {name: [_value(name, kinds[name], value) for value in values.split(",")] for name, values in stated.items()}


def _by_name(option: str, texts: Sequence[str], form: str) -> dict[str, str]:
    stated: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise invalid_field(option, f"{text!r} is not {form}")
        if name in stated:
            raise invalid_field(option, f"{name!r} is given twice; leave out one")
        stated[name] = value
    return stated


def _value(name: str, kind: type, text: str) -> Parameter:
    try:
        if kind is bool:
            return TRUTHS[text.lower()]
        if kind is int:
            return int(text)
        return float(text) if kind is float else text
    except (KeyError, ValueError) as error:
        example = {bool: "true", int: "5", float: "0.5"}[kind]
        raise invalid_field(name, f"{text!r} is no {kind.__name__}; write such as {name}={example}") from error


def _import_file(file: Path) -> ModuleType:
    file = file.expanduser().resolve()
    if file.is_dir():
        raise _refused(f"{file} is a folder; name a file in it, such as {file.name}/momentum.py")
    if not file.is_file():
        near = sorted(each.name for each in file.parent.glob("*.py"))[:5] if file.parent.is_dir() else []
        hint = f"; there is {', '.join(near)}" if near else ""
        raise _refused(f"there is no file {file}{hint}")
    root, name = _place(file)
    for folder in (str(file.parent), str(root)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    importlib.invalidate_caches()
    module = _imported(name, str(file))
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != file:
        raise _refused(f"{file} has the name of another module, {name} ({found or 'built in'}); rename the file")
    return module


def _place(file: Path) -> tuple[Path, str]:
    """Return the folder that must be on the path, and the name under which the file is imported from there."""
    parts, folder = [file.stem], file.parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        parts.insert(0, folder.name)
        folder = folder.parent
    name = ".".join(parts)
    if not all(part.isidentifier() for part in parts):
        raise _refused(f"{file} has no name that Python can import; rename it with letters, digits and _ only")
    return folder, name


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _refused(f"{name!r} is neither a file ending in .py nor the name of a module")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return _imported(name, name)


def _imported(name: str, shown: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        place = f"{error.filename or shown}, line {error.lineno}"
        raise _broken(f"{place}: {error.msg}: {(error.text or '').strip()}", error) from error
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _refused(
                f"there is no module {name!r}; name a file ending in .py, or a module that is installed"
            ) from error
        message = f"{shown} imports {error.name!r}, which is not there; install it, or put it beside the file"
        raise _broken(message, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(f"{shown} raises {type(error).__name__} when imported{_line(error)}: {error}", error) from error


def _named(module: ModuleType, place: str, class_name: str) -> type[Strategy]:
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Strategy):
        return found
    there = ", ".join(each.__name__ for each in _strategies(module)) or "none"
    what = "has no" if found is None else "has, but not as a strategy,"
    raise _refused(f"{place} {what} {class_name!r}; its strategies: {there}")


def _only(module: ModuleType, place: str) -> type[Strategy]:
    found = _strategies(module)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(each.__name__ for each in found)
        raise _refused(f"{place} has {len(found)} strategies ({names}); name one: {place}:{found[0].__name__}")
    raise _refused(f"{place} has no strategy; derive a class from qmtl_sdk.Strategy")


def _strategies(module: ModuleType) -> list[type[Strategy]]:
    """Return the strategies that a module itself defines; a leading underscore marks a base of others."""
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Strategy)
        and each.__module__ == module.__name__
        and not each.__name__.startswith("_")
    ]


def _line(error: BaseException) -> str:
    """Say in which line of which file, below the import machinery, it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""


def _refused(message: str) -> QmtlError:
    return invalid_field(FIELD, message)


def _broken(message: str, error: BaseException) -> QmtlError:
    return QmtlError(
        Reason.INVALID_STRATEGY,
        f"{FIELD}: {message}",
        metadata={"exception": type(error).__name__},
        violations=(FieldViolation(FIELD, message),),
    )
