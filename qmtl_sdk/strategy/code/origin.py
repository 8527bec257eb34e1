"""Where code comes from: a library (known by its qualified name) or the author's project (followed by content)."""

from __future__ import annotations

import site
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Final

from qmtl_sdk.strategy.code.errors import CodeIdentityError

# Ours count as a library also in a development checkout: their versions travel in the ComputeKey.
_OWN_PACKAGES: Final = frozenset({"qmtl_foundation", "qmtl_sdk"})
_INSTALL_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})

_CLOCK: Final = "take the time from the view's timestamps"
_RANDOM: Final = "draw it outside, and pass it as a StreamInput or as a captured number"
_WORLD: Final = "pass what it reads as a StreamInput, a captured constant or a registered artifact"
_STATE: Final = "compute it again, or keep state in a fold node: a function of a node remembers nothing"
_DYNAMIC: Final = "call what you need by its name"
# Of pyarrow: what opens files.
_ARROW_READERS: Final = (
    *("OSFile", "PythonFile", "csv", "dataset", "feather", "flight", "fs", "input_stream", "ipc", "json"),
    *("memory_map", "MemoryMappedFile", "orc", "output_stream", "parquet"),
)

# Qualified names, each with all that is under it, that would make a value depend on something without an identity.
_REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(("random", "secrets", "uuid", "numpy.random", "os.urandom", "scipy.stats.sampling"), _RANDOM),
    **dict.fromkeys(("time", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"), _CLOCK),
    **dict.fromkeys(("datetime.date.today", "pandas.Timestamp.now", "pandas.Timestamp.today"), _CLOCK),
    **dict.fromkeys(
        ("os", "posix", "posixpath", "sys", "io", "_io", "pathlib", "glob", "tempfile", "fileinput"), _WORLD
    ),
    **dict.fromkeys(("socket", "subprocess", "urllib", "http", "requests", "httpx", "aiohttp", "sqlite3"), _WORLD),
    **dict.fromkeys(("pickle", "_pickle", "shelve", "marshal", "joblib", "mmap", "shutil", "platform"), _WORLD),
    **dict.fromkeys(("numpy.load", "numpy.loadtxt", "numpy.fromfile", "numpy.genfromtxt", "numpy.memmap"), _WORLD),
    **dict.fromkeys(("builtins.open", "builtins.input", "obstore", "qmtl_sdk.data"), _WORLD),
    **dict.fromkeys(("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"), _DYNAMIC),
    **dict.fromkeys(("builtins.globals", "builtins.locals", "builtins.vars", "builtins.breakpoint"), _DYNAMIC),
    **dict.fromkeys(
        ("builtins.setattr", "builtins.delattr", "importlib", "runpy", "inspect", "gc", "ctypes"), _DYNAMIC
    ),
    **dict.fromkeys(("codecs.open", "dbm", "fcntl", "ftplib", "linecache", "pkgutil", "selectors", "smtplib"), _WORLD),
    **dict.fromkeys(("_socket", "_sqlite3", "ssl", "telnetlib", "tokenize", "tracemalloc", "zipimport"), _WORLD),
    **dict.fromkeys(("bz2", "gzip", "lzma", "tarfile", "zipfile"), _WORLD),
    **dict.fromkeys(("numpy.DataSource", "numpy.lib.npyio", "numpy.lib.format", "numpy.ctypeslib"), _WORLD),
    **dict.fromkeys(("numpy.fromregex", "numpy.save", "numpy.savetxt", "numpy.savez"), _WORLD),
    **dict.fromkeys(("pandas.HDFStore", "pandas.ExcelFile", "polars.SQLContext", "scipy.io"), _WORLD),
    **dict.fromkeys((f"pyarrow.{name}" for name in _ARROW_READERS), _WORLD),
    **dict.fromkeys(("pandas.Timestamp.utcnow", "pandas.Period.now"), _CLOCK),
    **dict.fromkeys(("_asyncio", "_contextvars", "_queue", "_thread", "_weakref", "_weakrefset"), _STATE),
    **dict.fromkeys(("asyncio", "atexit", "concurrent", "contextvars", "logging", "multiprocessing"), _STATE),
    **dict.fromkeys(("queue", "sched", "signal", "threading", "warnings.filters", "weakref"), _STATE),
    **dict.fromkeys(("functools.cache", "functools.cached_property", "functools.lru_cache"), _STATE),
    **dict.fromkeys(("functools._lru_cache_wrapper", "functools.singledispatch"), _STATE),
    **dict.fromkeys(("decimal.getcontext", "decimal.setcontext", "polars.Config", "pandas.options"), _STATE),
    **dict.fromkeys(("_frozen_importlib", "_imp", "_operator.attrgetter", "code", "codeop", "dis"), _DYNAMIC),
    **dict.fromkeys(("operator.attrgetter", "operator.methodcaller", "pydoc", "traceback"), _DYNAMIC),
    **dict.fromkeys(("types.CodeType", "types.FunctionType", "types.FrameType"), _DYNAMIC),
    **dict.fromkeys(("builtins.id", "builtins.hash"), "both differ from process to process; compare values instead"),
}
_READERS: Final = frozenset({"pandas", "polars", "pyarrow"})
_READS: Final = ("read_", "scan_", "sink_", "write_", "deserialize")


def is_library(module: str, file: str | None, home: str) -> bool:
    """Tell whether a module is a library for a function whose own module is ``home``.

    A library is what lies under the standard library or an install folder, or has no file at all; a function that is
    itself installed still follows its own package.
    """
    top = module.partition(".")[0]
    if top == home.partition(".")[0]:
        return False
    if top in _OWN_PACKAGES:
        return True
    if file is None:
        return top != "__main__"
    if file.startswith("<"):
        return file.startswith("<frozen")
    path = Path(file).resolve()
    return not _INSTALL_FOLDERS.isdisjoint(path.parts) or any(path.is_relative_to(root) for root in _library_roots())


def module_file(module: ModuleType | None) -> str | None:
    """Return where a module lies; a namespace package counts by its first folder."""
    file = getattr(module, "__file__", None)
    folders = list(getattr(module, "__path__", []))
    return file if file is not None or not folders else str(folders[0])


def qualified_name(value: object, name: str) -> str | None:
    """Return the name ``module.attribute`` under which anybody can import a library's ``value``.

    ``name`` is what the author calls it, tried where the object does not know its own name. None when no name leads
    to the very same object.
    """
    if isinstance(value, BuiltinFunctionType | MethodType) and not isinstance(value.__self__, ModuleType):
        owner = value.__self__ if isinstance(value.__self__, type) else type(value.__self__)
        return f"{owner.__module__}.{owner.__qualname__}.{value.__name__}"
    own = [getattr(value, "__qualname__", None), getattr(value, "__name__", None), name]
    homes = (getattr(value, "__module__", None), type(value).__module__)
    modules = dict.fromkeys(part for home in homes if isinstance(home, str) for part in _above(home))
    for module in modules:
        for attribute in own:
            if isinstance(attribute, str) and _lookup(module, attribute) is value:
                return f"{module}.{attribute}"
    # An instance that the author renamed in the import, such as `from polars import col as c`.
    for module in modules:
        aliases = [key for key, found in vars(sys.modules.get(module, sys)).items() if found is value]
        if aliases and module in sys.modules:
            return f"{module}.{min(aliases)}"
    return None


def refuse_unfollowable(qualified: str, subject: str) -> None:
    """Raise CodeIdentityError where a qualified library name stands for time, chance, the outside world or escape."""
    parts = qualified.split(".")
    for length in range(1, len(parts) + 1):
        mend = _REFUSED.get(".".join(parts[:length]))
        if mend is not None:
            raise CodeIdentityError(subject, f"({qualified}) is not deterministic or cannot be followed", mend)
    if parts[0] in _READERS and any(part.startswith(_READS) for part in parts[1:]):
        raise CodeIdentityError(subject, f"({qualified}) reads data past the node's inputs", _WORLD)


def code_file(function: FunctionType) -> str:
    """Return the file that a function was compiled from."""
    return function.__code__.co_filename


def _above(module: str) -> list[str]:
    """Return a module and its packages, outermost first: the public name is the short one, operator not _operator."""
    parts = module.split(".")
    names = [".".join(parts[: length + 1]) for length in range(len(parts))]
    return [module.lstrip("_"), *names] if module.startswith("_") else names


def _lookup(module: str, attribute: str) -> object:
    found: object = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


@lru_cache(maxsize=1)
def _library_roots() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    return tuple(Path(folder).resolve() for folder in [*folders, site.getusersitepackages()] if folder)
