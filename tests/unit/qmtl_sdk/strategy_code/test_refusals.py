"""What has no identity is refused by name, with the mend."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest

from qmtl_foundation.errors import Reason
from qmtl_sdk.strategy.code import CodeIdentityError, code_hash

Load = Callable[..., ModuleType]


def refusal(function: Callable[..., object]) -> str:
    with pytest.raises(CodeIdentityError) as caught:
        code_hash(function)
    assert caught.value.reason is Reason.NO_CANONICAL_FORM
    assert caught.value.violations[0].field == caught.value.subject
    return str(caught.value)


@pytest.mark.parametrize(
    ("prices", "kind", "mend"),
    [
        (np.arange(3.0), "ndarray", "StreamInput or a registered artifact"),
        (pl.DataFrame({"a": [1]}), "DataFrame", "StreamInput or a registered artifact"),
        (pl.Series([1]), "Series", "StreamInput or a registered artifact"),
        ([1.0], "list", "tuple"),
        ({"a": 1}, "dict", "frozen dataclass"),
        ({1}, "set", "frozenset"),
        (io.StringIO(), "StringIO", "StreamInput"),
        (np.random.default_rng(1), "Generator", "StreamInput"),
        (object(), "object", "capture numbers"),
        (pd.Timestamp("2020-06-01"), "Timestamp", "datetime.datetime"),
        (pd.Timedelta("3D"), "Timedelta", "datetime.timedelta"),
        (pl.Datetime("ns"), "Datetime", "inside the function"),
        (np, "module", "module.name"),
    ],
)
def test_a_captured_value_without_canonical_form_is_named(prices: object, kind: str, mend: str) -> None:
    message = refusal(lambda view: prices)
    assert message.startswith(f"captured value 'prices' of type {kind} has no canonical form: ")
    assert mend in message


def test_a_value_deep_inside_is_named_by_its_path() -> None:
    settings = (1, (2, np.zeros(2)))
    assert "captured value 'settings[1][1]' of type ndarray" in refusal(lambda view: settings)


def test_a_mutable_default_is_named() -> None:
    def compute(view: object, memory: list[float] = []) -> object:  # noqa: B006  # what is refused
        return memory

    assert "captured value 'default of compute[0]' of type list" in refusal(compute)


def test_prices_disguised_as_a_tuple_are_refused() -> None:
    prices = tuple(float(price) for price in range(5000))
    assert "has 5000 items" in refusal(lambda view: prices)
    rows = tuple((day, 1.0, 2.0) for day in range(500))
    assert "has 1500 items" in refusal(lambda view: rows)
    table = MappingProxyType(dict.fromkeys(range(600), (1.0, 2.0)))
    assert "has 1200 items" in refusal(lambda view: table)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("import random\ndef compute(view): return random.random()", "random.random"),
        ("from random import random\ndef compute(view): return random()", "random"),
        ("import numpy as np\ndef compute(view): return np.random.rand()", "numpy.random.rand"),
        ("from numpy.random import default_rng as d\ndef compute(view): return d()", "numpy.random"),
        ("import time\ndef compute(view): return time.time()", "time.time"),
        ("from time import time as t\ndef compute(view): return t()", "time.time"),
        ("import datetime\ndef compute(view): return datetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime as d\ndef compute(view): return d.now()", "datetime.datetime.now"),
        ("def compute(view):\n import datetime as d\n return d.date.today()", "datetime.date.today"),
        ("import os\ndef compute(view): return os.environ['A']", "os.environ"),
        ("from os import environ\ndef compute(view): return environ['A']", "os.environ"),
        ("import os.path\ndef compute(view): return os.path.exists('a')", "posixpath"),
        ("import polars as pl\ndef compute(view): return pl.read_parquet('a')", "polars.read_parquet"),
        ("import numpy as np\ndef compute(view): return np.load('a')", "numpy.load"),
        ("import importlib\ndef compute(view): return importlib.import_module('a')", "importlib"),
        ("def compute(view): return open('a').read()", "name 'open' (io.open)"),
        ("def compute(view): return eval('1')", "builtins.eval"),
        ("def compute(view): exec('1')", "builtins.exec"),
        ("def compute(view): return __import__('os')", "builtins.__import__"),
        ("def compute(view): return globals()['x']", "builtins.globals"),
        ("def compute(view): return hash('a')", "builtins.hash"),
        ("def compute(view): return (lambda: 1).__globals__", "__globals__"),
        ("def compute(view): return ().__class__.__subclasses__()", "__subclasses__"),
        ("import helpers\ndef compute(view): return getattr(helpers, view)", "'helpers'"),
        ("import helpers\ndef compute(view):\n helpers.x = 1", "helpers.x"),
        ("COUNT = 0\ndef compute(view):\n global COUNT\n COUNT = 1", "global COUNT"),
        ("SEEN = (1,)\ndef compute(view):\n SEEN[0] = view", "SEEN"),
        ("def compute(view): return missing(view)", "'missing'"),
        ("def compute(view):\n class A: pass\n return A", "class 'A'"),
        ("import helpers\ndef compute(view): return helpers.noise()", "random.gauss"),
    ],
)
def test_what_is_not_deterministic_or_cannot_be_followed_is_named(load: Load, body: str, name: str) -> None:
    helpers = "import random\nx = 2\ndef noise(): return deeper()\ndef deeper(): return random.gauss(0, 1)\n"
    message = refusal(load({"strategy.py": body + "\n", "helpers.py": helpers}).compute)
    assert name in message


def test_state_in_an_enclosing_function_is_refused() -> None:
    def make() -> Callable[[float], int]:
        count = 0

        def compute(view: float) -> int:
            nonlocal count
            count += 1
            return count

        return compute

    assert "captured name 'count' is written to" in refusal(make())


def test_a_method_that_keeps_state_on_its_object_is_refused(load: Load) -> None:
    text = "class Trend:\n    def compute(self, view):\n        self.last = view\n        return view\n"
    assert "captured name 'self.last' is written to" in refusal(load(text).Trend().compute)


@pytest.mark.parametrize("label", ["columns", "index", "name", "index.name"])
def test_a_frame_of_the_functions_own_may_be_labelled(load: Load, label: str) -> None:
    text = f"import pandas as pd\ndef compute(view):\n    own = pd.DataFrame(view)\n    own.{label} = 'a'\n"
    assert code_hash(load(text).compute)


def test_what_was_handed_in_is_not_labelled(load: Load) -> None:
    text = "class Box:\n    @classmethod\n    def compute(cls, view):\n        cls.name = view\n        return view\n"
    assert "attribute 'cls.name' is written to" in refusal(load(text).Box.compute)


def test_a_function_without_source_is_refused() -> None:
    namespace: dict[str, Callable[..., object]] = {}
    exec("def compute(view): return view", namespace)  # noqa: S102  # the way to a function without source
    assert refusal(namespace["compute"]).startswith("function 'compute' has no source: define it in a file")


def test_a_file_edited_after_its_import_is_refused(load: Load, tmp_path: Path) -> None:
    module = load("def compute(view): return view + 1\n")
    (tmp_path / "checkout" / "strategy.py").write_text("def compute(view): return view + 2 * 1\n")
    assert "the source changed after it was loaded" in refusal(module.compute)


def test_lambdas_that_cannot_be_told_apart_are_refused() -> None:
    one, two = (lambda view: view + 1), (lambda view: view + 2)
    blind = one.__code__.replace(co_linetable=b"")
    one.__code__ = blind
    assert "cannot be told from others on its line" in refusal(one)
    assert code_hash(two)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("import linecache\ndef compute(view): return linecache.getlines('a')", "linecache"),
        ("import codecs\ndef compute(view): return codecs.open('a')", "codecs.open"),
        ("import numpy as np\ndef compute(view): return np.lib.npyio.DataSource()", "numpy.lib.npyio"),
        ("import numpy as np\ndef compute(view): return np.datetime64('now')", "text 'now'"),
        ("NOW = 'now'\nimport numpy as np\ndef compute(view): return np.datetime64(NOW)", "text 'now'"),
        ("import gzip\ndef compute(view): return gzip.open('a')", "gzip"),
        (
            "import polars as pl\ndef compute(view): return pl.DataFrame.deserialize('a')",
            "polars.DataFrame.deserialize",
        ),
        ("import polars as pl\ndef compute(view):\n D = pl.LazyFrame\n return D.deserialize('a')", "'deserialize'"),
        ("import logging\ndef compute(view): return logging.getLogger('a')", "logging"),
        ("import threading\ndef compute(view): return threading.local()", "threading"),
        ("import builtins\ndef compute(view): return builtins.len(view)", "builtins"),
        ("import functools\n@functools.cache\ndef s(): return {}\ndef compute(view): return s()", "lru_cache"),
        (
            "import functools\n@functools.lru_cache(None)\ndef s(): return {}\ndef compute(view): return s()",
            "lru_cache",
        ),
        (
            "import functools\nclass K:\n @functools.cached_property\n def s(self): pass\ndef compute(v): return K",
            "K.s",
        ),
        ("def compute(view): return getattr(view, '__glo' 'bals__')", "__globals__"),
        ("def compute(view): return getattr(view, '__glo' + 'bals__')", "getattr"),
        ("g = getattr\ndef compute(view): return g(view, 'x')", "getattr"),
        ("def compute(view): return compute.__doc__", "__doc__"),
        ("class K: pass\ndef compute(view):\n k = K\n k.last = view\n return k", "k.last"),
        ("BITS = 1 << 500\ndef compute(view): return BITS & 1", "has 501 bits"),
    ],
)
def test_readers_clocks_and_stores_are_named(load: Load, body: str, name: str) -> None:
    assert name in refusal(load(body + "\n").compute)
