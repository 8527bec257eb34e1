"""Code identity: ``code_hash``, the content id of what an author's function computes.

Steps: source.py finds the syntax tree that the function was compiled from; scope.py finds the names it takes from
outside; definitions.py resolves them, follows project code and captured values (values.py, origin.py); syntax.py
writes trees in a form that no Python version changes.
"""

from __future__ import annotations

from qmtl_sdk.strategy.code.definitions import code_hash
from qmtl_sdk.strategy.code.errors import CodeIdentityError

__all__ = ["CodeIdentityError", "code_hash"]
