"""Projects written to disk, imported, and hashed: as an author's checkout would be."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Yield ``load(files, module="strategy", folder="checkout")``: write a project, import one of its modules anew."""
    before_path, before_modules = list(sys.path), set(sys.modules)

    def forget() -> None:
        sys.path[:] = before_path
        for name in set(sys.modules) - before_modules:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]

    def load(files: Mapping[str, str] | str, module: str = "strategy", folder: str = "checkout") -> ModuleType:
        forget()
        root = tmp_path / folder
        for name, text in ({"strategy.py": files} if isinstance(files, str) else files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        sys.path.insert(0, str(root))
        importlib.invalidate_caches()
        return importlib.import_module(module)

    yield load
    forget()
