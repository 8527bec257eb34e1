"""Print the syntax tree of trees/sample.py.txt as the interpreter that runs this builds it (Python 3.8 and newer).

Used once per version: ``python3.13 dump_tree.py > trees/python3.13.json``.
"""

import ast
import json
import os  # the interpreter may be an old one: nothing newer than it knows
import sys


def plain(value):  # type: ignore[no-untyped-def]  # an old interpreter may read it
    if isinstance(value, ast.AST):
        fields = [[name, plain(getattr(value, name, None))] for name in value._fields]
        return {"type": type(value).__name__, "fields": fields}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {"constant": repr(value)}


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "trees", "sample.py.txt")) as source:
    json.dump(plain(ast.parse(source.read()).body[0]), sys.stdout, separators=(",", ":"))
