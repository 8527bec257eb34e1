"""What changes a code hash, and what does not."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable
from types import ModuleType

import pytest

from qmtl_foundation.identity import is_content_id
from qmtl_sdk.strategy.code import code_hash

Load = Callable[..., ModuleType]

# Pinned: the identity of one function, with a helper two calls away, for ever. A change of this test's number is a
# change of every author's NodeIDs.
GOLDEN = "blake3:65f1d333030eade25255a6cd36b1a62b8476a602736b36d3ec1025af245a9b0e"
PROJECT = {
    "strategy.py": """
        import numpy as np

        import helpers
        from helpers import scaled

        def compute(view, window=20, *, floor=-0.0):
            "Say what it does."
            close = view * helpers.GAIN  # a comment
            label = f"{window:>{4}}-{close!r}" "tail"
            parts = [np.log(item) for item in close[1:, ...] if item not in (1, 2.5, 1j, b"x", None)]
            return scaled(parts, floor), label
    """,
    "helpers.py": """
        from deeper import base

        GAIN = 2.0

        def scaled(values, floor):
            return [max(base(value), floor) for value in values]
    """,
    "deeper.py": """
        THRESHOLD = 0.25

        def base(value):
            return value - THRESHOLD
    """,
}


def edited(name: str, old: str, new: str) -> dict[str, str]:
    assert old in PROJECT[name]
    return {**PROJECT, name: PROJECT[name].replace(old, new)}


def test_the_hash_of_a_known_project_is_pinned(load: Load) -> None:
    assert code_hash(load(PROJECT).compute) == GOLDEN


def test_two_checkouts_in_two_folders_hash_the_same(load: Load) -> None:
    one = code_hash(load(PROJECT, folder="one").compute)
    assert is_content_id(one)
    assert code_hash(load(PROJECT, folder="two/deeply/below").compute) == one


def test_a_moved_and_renamed_file_hashes_the_same(load: Load) -> None:
    moved = {
        f"package/{name}": text.replace("import helpers", "from . import helpers") for name, text in PROJECT.items()
    }
    moved = {
        name: text.replace("from helpers", "from .helpers").replace("from deeper", "from .deeper")
        for name, text in moved.items()
    }
    moved["package/renamed.py"] = "\n\n\n" + moved.pop("package/strategy.py")
    assert code_hash(load(moved | {"package/__init__.py": ""}, "package.renamed").compute) == GOLDEN


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("strategy.py", "  # a comment", ""),
        ("strategy.py", '"Say what it does."', '"""Say it otherwise."""'),
        ("strategy.py", "def compute(view, window=20,", "def compute(view: object, window: int = 20,"),
        ("strategy.py", "close = view *", "close: object = view *"),
        ("strategy.py", "def compute", "UNUSED = 3\n        def compute"),
        ("helpers.py", "return [", "pass\n            'said in passing'\n            return ["),
        ("deeper.py", "THRESHOLD = 0.25", "THRESHOLD = 1 / 4"),
        ("deeper.py", "return value", "# why\n            return value"),
    ],
)
def test_what_is_not_computed_does_not_count(load: Load, name: str, old: str, new: str) -> None:
    assert code_hash(load(edited(name, old, new)).compute) == GOLDEN


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("deeper.py", "0.25", "0.26"),
        ("deeper.py", "0.25", "0"),
        ("deeper.py", "value - THRESHOLD", "THRESHOLD - value"),
        ("helpers.py", "GAIN = 2.0", "GAIN = 2"),
        ("helpers.py", "max(", "min("),
        ("strategy.py", "window=20", "window=21"),
        ("strategy.py", "floor=-0.0", "floor=0.0"),
        ("strategy.py", "np.log", "np.log1p"),
        ("strategy.py", "import numpy as np", "import math as np"),
        ("strategy.py", "None)", "False)"),
        ("strategy.py", "2.5, 1j", "1j, 2.5"),
        ("strategy.py", "tail", "head"),
        ("strategy.py", "!r", "!s"),
    ],
)
def test_whatever_is_computed_counts_at_any_depth(load: Load, name: str, old: str, new: str) -> None:
    assert code_hash(load(edited(name, old, new)).compute) != GOLDEN


def test_order_of_operands_counts() -> None:
    one: Callable[[float, float], float] = lambda a, b: a - b  # noqa: E731  # lambdas are what is tested
    other: Callable[[float, float], float] = lambda a, b: b - a  # noqa: E731  # the same
    assert code_hash(one) != code_hash(other)


def test_recursion_and_mutual_recursion_end(load: Load) -> None:
    text = """
        def odd(n): return n and even(n - 1)
        def even(n): return not n or odd(n - 1)
        def fact(n): return n * fact(n - 1) if n else 1
    """
    module = load(text)
    hashes = {code_hash(module.odd), code_hash(module.even), code_hash(module.fact)}
    assert len(hashes) == 3
    changed = load(text.replace("not n or", "n == 0 or"), folder="changed")
    assert code_hash(changed.odd) not in hashes
    assert code_hash(changed.fact) in hashes


def test_several_lambdas_on_one_line_are_told_apart() -> None:
    pair = (lambda v: v + 1, lambda v: v + 2, lambda v: (lambda w: w + 1)(v))  # fmt: skip
    hashes = [code_hash(item) for item in pair]
    assert len(set(hashes)) == 3
    assert code_hash(lambda v: v + 1) == hashes[0]


def test_captured_values_count() -> None:
    def make(factor: object) -> Callable[[float], object]:
        return lambda value: (value, factor)

    values = [
        1,
        1.0,
        True,
        "1",
        b"1",
        1j,
        -0.0,
        0.0,
        2**80,
        None,
        ...,
        (1,),
        (1.0,),
        frozenset({1}),
        range(3),
        slice(1),
    ]
    assert len({code_hash(make(value)) for value in values}) == len(values)
    assert code_hash(make((1, "a"))) == code_hash(make((1, "a")))
    assert code_hash(make(frozenset({"b", "a", "c"}))) == code_hash(make(frozenset({"c", "b", "a"})))


def test_objects_with_a_canonical_form_are_captured_by_content(load: Load) -> None:
    text = """
        import datetime as dt, enum, functools
        from dataclasses import dataclass
        from types import MappingProxyType
        from typing import NamedTuple
        import numpy as np

        class Side(enum.Enum):
            LONG = 1
            SHORT = -1

        class Pair(NamedTuple):
            left: str
            right: str = "MSFT"

        @dataclass(frozen=True)
        class Band:
            width: float = 2.0
            def upper(self, value): return value + self.width

        BAND = Band()
        def compute(view):
            return (BAND.upper(view), Side.LONG, Pair("AAPL"), HALF, WHEN, TABLE["a"])
        HALF, WHEN, TABLE = np.float32(0.5), dt.date(2020, 1, 1), MappingProxyType({"a": 1})
    """
    one = code_hash(load(text).compute)
    assert code_hash(load(text, folder="two").compute) == one
    for number, (old, new) in enumerate(
        [
            ("= 2.0", "= 3.0"),
            ("value + self", "value - self"),
            ("LONG = 1", "LONG = 2"),
            ('= "MSFT"', '= "IBM"'),
            ("Side.LONG", "Side.SHORT"),
            ("float32(0.5)", "float64(0.5)"),
            ("2020", "2021"),
            ('{"a": 1}', '{"a": 2}'),
            ("BAND = Band()", "BAND = Band(2.5)"),
        ]
    ):
        assert code_hash(load(text.replace(old, new), folder=f"edit{number}").compute) != one, (old, new)


def test_methods_count_the_attributes_they_use(load: Load) -> None:
    text = """
        class Trend:
            window = 5
            unused = 1
            def __init__(self): self.scale = 2.0; self.log = []
            @property
            def double(self): return self.window * 2
            def compute(self, view): return self._mean(view) * self.scale + self.double
            def _mean(self, view): return view / self.window
    """
    one = code_hash(load(text).Trend().compute)
    assert code_hash(load(text.replace("unused = 1", "unused = 2"), folder="two").Trend().compute) == one
    for number, (old, new) in enumerate(
        [("window = 5", "window = 6"), ("2.0", "2.5"), ("view /", "view *"), ("* 2", "* 3")]
    ):
        assert code_hash(load(text.replace(old, new), folder=f"edit{number}").Trend().compute) != one, old


def test_partial_nested_and_decorated_functions(load: Load) -> None:
    text = """
        import functools, numba

        def doubled(function):
            @functools.wraps(function)
            def wrapper(view): return 2 * function(view)
            return wrapper

        @doubled
        def wrapped(view): return view + 1

        @numba.vectorize
        def cached(value): return value + 3
        @numba.njit
        def compiled(value): return value + 4
        def compute(view):
            def inner(value, step=cached(1)): return value + compiled(step)
            return inner(view)
    """
    module = load(text)
    wrapped, computed = code_hash(module.wrapped), code_hash(module.compute)
    assert code_hash(functools.partial(module.wrapped, 1)) != code_hash(functools.partial(module.wrapped, 2))
    edits = [("2 *", "3 *"), ("view + 1", "view + 2")]
    for number, (old, new) in enumerate(edits):
        assert code_hash(load(text.replace(old, new), folder=f"w{number}").wrapped) != wrapped, old
    edits = [("value + 3", "value + 5"), ("value + 4", "value + 5"), ("njit", "njit(fastmath=True)")]
    for number, (old, new) in enumerate(edits):
        assert code_hash(load(text.replace(old, new), folder=f"c{number}").compute) != computed, old


def test_an_import_inside_the_function_is_followed(load: Load) -> None:
    files = {
        "strategy.py": """
            def compute(view):
                from helpers import GAIN as gain
                import math
                return view * gain * math.pi
        """,
        "helpers.py": "GAIN = 2.0\n",
    }
    one = code_hash(load(files).compute)
    assert code_hash(load(files | {"helpers.py": "GAIN = 3.0\n"}, folder="two").compute) != one


def test_a_registered_artifact_is_known_by_its_id(load: Load) -> None:
    text = """
        class Model:
            def __init__(self, digit): self.artifact_id = "blake3:" + digit * 64; self.weights = [1, 2]
        MODEL = Model("a")
        def compute(view): return MODEL.predict(view)
    """
    one = code_hash(load(text).compute)
    assert code_hash(load(text.replace("[1, 2]", "[3]"), folder="two").compute) == one
    assert code_hash(load(text.replace('"a"', '"b"'), folder="three").compute) != one


def test_a_function_of_a_notebook_cell_is_hashed_from_the_cell() -> None:
    source = "GAIN = 2.0\ndef compute(view):\n    return view * GAIN\n"
    namespace: dict[str, object] = {"__name__": "__main__"}
    for name in ("<ipython-input-1>", "/tmp/ipykernel_1/2.py"):  # noqa: S108  # the names that kernels give to cells
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), namespace)  # noqa: S102  # as a kernel does
        assert code_hash(namespace["compute"]) == code_hash(namespace["compute"])  # type: ignore[arg-type]  # a function
        del linecache.cache[name]


def test_a_cell_compiled_statement_by_statement_is_what_its_source_says() -> None:
    name = "<ipython-input-7>"
    source = "import polars as pl\ndef compute(view):\n    return pl.col('close') > pl.col('close').shift(1)\n"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for statement in ast.parse(source).body:
        exec(compile(ast.Module([statement], []), name, "exec"), namespace)  # noqa: S102  # as IPython does
    assert code_hash(namespace["compute"]).startswith("blake3:")  # type: ignore[arg-type]  # a function
    del linecache.cache[name]


def test_an_object_that_can_be_called_counts_by_what_its_call_uses(load: Load) -> None:
    text = """
    class Scaled:
        def __init__(self, factor, label):
            self.factor, self.label = factor, label

        def __call__(self, view):
            return view * self.factor
    """
    scaled = load(text).Scaled
    assert code_hash(scaled(2.0, "a")) == code_hash(scaled(2.0, "b")) == code_hash(scaled(2.0, "a").__call__)
    assert code_hash(scaled(2.0, "a")) != code_hash(scaled(3.0, "a"))
