"""Everything that a followed class, function or enum member carries counts, private or not; or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from qmtl_sdk.strategy.code import CodeIdentityError, code_hash

Load = Callable[..., ModuleType]

CARRIERS = {
    "a private name": "class K: _weight = {}\ndef compute(view): return view * K._weight",
    "a mangled name": (
        "class K:\n    __weight = {}\n    @staticmethod\n    def scale(x): return x * K.__weight\n"
        "def compute(view): return K.scale(view)"
    ),
    "a base class": "class B: _weight = {}\nclass K(B): pass\ndef compute(view): return view * K._weight",
    "a metaclass": "class M(type): _weight = {}\nclass K(metaclass=M): pass\ndef compute(v): return v * K._weight",
    "a named tuple's subclass": (
        "from typing import NamedTuple\nclass B(NamedTuple):\n    x: int = 1\nclass K(B): _weight = {}\n"
        "PAIR = K()\ndef compute(view): return view * PAIR._weight"
    ),
    "a dataclass's ClassVar": (
        "import dataclasses, typing\n@dataclasses.dataclass(frozen=True)\nclass K:\n    n: int = 1\n"
        "    _weight: typing.ClassVar[object] = {}\n    def scale(self, x): return x * self._weight\n"
        "BAND = K()\ndef compute(view): return BAND.scale(view)"
    ),
    "a decorator": (
        "def mark(c):\n    c._weight = {}\n    return c\n@mark\nclass K: pass\ndef compute(v): return v * K._weight"
    ),
    "getattr": "class K: _weight = {}\ndef compute(view): return view * getattr(K, '_weight')",
    "the function": "def compute(view): return view * compute.weight\ncompute.weight = {}",
    "a helper": "def helper(): pass\nhelper.weight = {}\ndef compute(view): return view * helper.weight",
    "an enum member": (
        "import enum\nclass E(enum.Enum):\n    A = 1\nE.A._weight = {}\ndef compute(view): return view * E.A._weight"
    ),
    "a partial in a class": (
        "import functools\ndef times(k, x): return k * x\nclass K: scale = staticmethod(functools.partial(times, {}))\n"
        "def compute(view): return K.scale(view)"
    ),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_value_carried_by_a_followed_object_counts(load: Load, carrier: str) -> None:
    text = CARRIERS[carrier]
    hashes = [code_hash(load(text.format(value), folder=f"at{value}").compute) for value in ("1.0", "0.3", "1.0")]
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize("store", ["{}", "[]", "set()", "__import__('numpy').zeros(2)"])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_store_on_a_followed_object_is_refused(load: Load, carrier: str, store: str) -> None:
    with pytest.raises(CodeIdentityError, match="has no canonical form"):
        code_hash(load(CARRIERS[carrier].replace("{}", store)).compute)


def test_a_descriptor_of_the_project_is_refused(load: Load) -> None:
    text = """
        class Weight:
            def __get__(self, one, kind): return 3
            def __set__(self, one, value): pass
        class K: weight = Weight()
        def compute(view): return view * K.weight
    """
    with pytest.raises(CodeIdentityError, match=r"'K\.weight' of type Weight has no canonical form"):
        code_hash(load(text).compute)


def test_what_enum_members_set_in_their_constructor_counts(load: Load) -> None:
    text = """
        import enum
        class Side(enum.Enum):
            LONG = (1, 2)
            def __init__(self, sign, scale): self.weight = sign * scale * 3
        def compute(view): return view * Side.LONG.weight
    """
    one = code_hash(load(text).compute)
    assert code_hash(load(text.replace("* 3", "* 4"), folder="two").compute) != one
