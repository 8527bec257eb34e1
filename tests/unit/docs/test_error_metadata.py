"""What a refusal of a service or a submission has in its metadata is what ``error_reason.proto`` promises."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from qmtl_foundation.errors import Reason

ROOT = Path(__file__).resolve().parents[3]
PROTO = ROOT / "protos" / "qmtl" / "common" / "v1" / "error_reason.proto"
ENTRY = re.compile(r"((?:^ *//.*\n)+) *ERROR_REASON_(\w+) = ", re.MULTILINE)
PLACES = ("qmtl_foundation", "qmtl_gateway", "qmtl_dagmgr", "qmtl_world", "qmtl_executor", "qmtl_sdk/submission")


def promised() -> dict[str, list[set[str]]]:
    """Return the keys of each example payload of a reason."""
    return {
        name: [set(json.loads(example)) for example in re.findall(r"\{[^}]*\}", comment.replace("//", ""))]
        for comment, name in ENTRY.findall(PROTO.read_text())
    }


def refusals() -> Iterator[tuple[str, str, set[str]]]:
    """Yield place, reason and metadata keys of every refusal that states them where it is raised."""
    for path in (each for place in PLACES for each in sorted((ROOT / place).rglob("*.py"))):
        if "pb" in path.parts or path.name == "migrate.py":  # what migrates answers no call
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and call.args and ast.unparse(call.args[0]).startswith("Reason."):
                keys = stated(call)
                if keys is not None:
                    yield f"{path.relative_to(ROOT)}:{call.lineno}", ast.unparse(call.args[0])[7:], keys


def stated(call: ast.Call) -> set[str] | None:
    given = {each.arg: each.value for each in call.keywords if each.arg is not None}
    if ast.unparse(call.func) == "not_found" and len(given) == len(call.keywords):
        return set(given)
    metadata = given.get("metadata")
    if not isinstance(metadata, ast.Dict):
        return None
    return {key.value for key in metadata.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def test_every_reason_has_an_example_payload() -> None:
    examples = promised()
    assert [name for name in Reason if not examples[name]] == []


def test_every_refusal_has_the_keys_of_an_example() -> None:
    examples, found = promised(), list(refusals())
    assert len(found) > 20
    assert [
        (place, reason, keys) for place, reason, keys in found if not any(each <= keys for each in examples[reason])
    ] == []
