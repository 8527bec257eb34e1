"""What the documents show is there: generated parts, links, commands, policies, presets, strategies, ids, metrics."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.identity import node_crc32
from qmtl_foundation.requests import check_page_size
from qmtl_sdk import Strategy
from qmtl_sdk.cli.main import app
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.preset import WorldDataPreset
from qmtl_sdk.data.sessions import bar_grid
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.data.times import DAY_NS, DAY_SECONDS
from qmtl_sdk.strategy.code import code_hash
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.program import Program, build
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import Axis
from qmtl_sdk.submission.inputs import stream_inputs
from qmtl_sdk.submission.proving import prove_program
from qmtl_world.evaluation.policy import compile_policy

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(path.read_text()) if name == language]


def shown_commands(path: Path) -> Iterator[list[str]]:
    """Yield the words after `qmtl` of every command in a console block or a code span."""
    lines = [line for block in blocks(path, "console") for line in block.replace("\\\n", "").splitlines()]
    spans = SPAN.findall(FENCE.sub("", path.read_text()))
    for text in [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] + spans:
        found = re.search(r"(?:^|\$\()qmtl (?P<words>[a-z-][^)|]*)", text)
        if found:
            yield shlex.split(found["words"].replace("…", ""), comments=True)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolve(words: list[str]) -> Any:
    """Return the command that words name; fail where one names no command or option."""
    command: Any = typer.main.get_command(app)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            assert word in known | {"--help"}, f"{word} is no option of {command.name}"
        elif hasattr(command, "commands"):
            assert word in command.commands, f"{word} is no command of {command.name}"
            command = command.commands[word]
    return command


def loaded(name: str, file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generator() -> Any:
    return loaded("docs_generate", ROOT / "docs" / "generate.py")


def strategy_of(source: str, folder: Path) -> type[Strategy]:
    """Return the strategy that a block defines, without submitting it; from a file, since identities need source."""
    tree = ast.parse(source)
    tree.body = [statement for statement in tree.body if not isinstance(statement, ast.Expr)]
    file = folder / "shown.py"
    file.write_text(ast.unparse(tree))
    names = vars(loaded("shown", file)).values()
    (found,) = (
        each for each in names if isinstance(each, type) and issubclass(each, Strategy) and each is not Strategy
    )
    return found


def random_bars() -> Streams:
    """Return 300 daily bars of 3 symbols, as a preset on a calendar without holidays delivers them."""
    steps = np.random.default_rng(7).normal(0.0, 0.02, (300, 3))
    close = np.ascontiguousarray(100.0 * np.exp(np.cumsum(steps, axis=0)))
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), close)
    grid = bar_grid("24/7", DAY_SECONDS, 0, 300 * DAY_NS)
    return Streams("random", Panel(grid.closes, ("A", "B", "C"), columns, DAY_SECONDS), grid, "24/7", {})


def test_generated_sections_are_what_the_code_says() -> None:
    assert generator().main(["--check"]) == 0


def test_section_without_generator_is_refused() -> None:
    with pytest.raises(KeyError, match="unheard-of"):
        generator().filled("<!-- generated: unheard-of -->\n<!-- end -->")


def test_stale_section_is_filled_from_the_code() -> None:
    stale = "<!-- generated: execution-domains -->\nold\n<!-- end -->\n"
    fresh = generator().filled(stale)
    assert "old" not in fresh
    assert "| `paper` (alias `sim`) | `dryrun` | paper executor |" in fresh


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        if anchor:
            assert anchor in anchors(found), link


ROOMS = ("qmtl_*", "tests", "benchmarks", "docs", "examples", "helm", "protos")


@cache
def known_files() -> frozenset[str]:
    return frozenset(file.name for room in ROOMS for found in ROOT.glob(room) for file in found.rglob("*.py"))


@each_document
def test_files_named_are_there(path: Path) -> None:
    named = {found for span in SPAN.findall(path.read_text()) for found in re.findall(r"(?:^|/)(\w+\.py)$", span)}
    assert sorted(named - known_files()) == []


@each_document
def test_commands_shown_exist(path: Path) -> None:
    for words in shown_commands(path):
        resolve(words)


PRESET_MARK = "source:"


def from_file(text: str) -> WorldDataPreset:
    return WorldDataPreset.parse(yaml.safe_load(text))


def test_unknown_command_is_noticed() -> None:
    with pytest.raises(AssertionError, match="fly is no command"):
        resolve(["world", "fly", "demo"])
    with pytest.raises(AssertionError, match="--fast is no option"):
        resolve(["world", "status", "demo", "--fast"])


@each_document
def test_policies_and_presets_shown_are_valid(path: Path) -> None:
    for block in blocks(path, "yaml"):
        if PRESET_MARK in block:
            from_file(block)
        else:
            compile_policy(block.encode())


@each_document
def test_python_shown_parses(path: Path) -> None:
    for block in blocks(path, "python"):
        ast.parse(block)


def test_preset_shown_is_valid() -> None:
    (preset,) = blocks(ROOT / "docs" / "data.md", "json")
    assert WorldDataPreset.parse(preset.encode()).name == "desk_us_equity_1d"


@pytest.mark.parametrize("name", ["README.md", "README.ko.md", "docs/authoring.md"])
def test_strategy_shown_builds(name: str, tmp_path: Path) -> None:
    program = build(strategy_of(blocks(ROOT / name, "python")[0], tmp_path))
    assert program.name == "SmaCross"
    assert program.warmup_bars == 199


def warmup_days(program: Program) -> int:
    """Return the days before the first whole output; a coarse bar may have begun a bar before the data."""
    needed = program.stream_bars(DAY_SECONDS)
    lengths = {stream.node_id: (stream.interval_s or DAY_SECONDS) // DAY_SECONDS for stream in program.streams}
    return max((needed[name] - 1 + 2 * (days > 1)) * days for name, days in lengths.items())


def test_strategies_of_the_authors_page_state_weights_and_are_proven(tmp_path: Path) -> None:
    streams = random_bars()
    bars = streams.bars
    shown = [block for block in blocks(ROOT / "docs" / "authoring.md", "python") if "(Strategy):" in block]
    for block in shown:
        program = build(strategy_of(block, tmp_path))
        evaluation = evaluate(program.nodes, stream_inputs(program, streams))
        weights = output_array(program, evaluation, Axis(bars.timestamps, bars.symbols))
        warm = weights[warmup_days(program) :]
        assert np.isfinite(warm).all()
        assert warm.sum(axis=1).max() == pytest.approx(1.0)
        proofs = prove_program(program, evaluation, bars.timestamps, weights, "blake3:docs", tmp_path)
        assert (proofs.status, proofs.findings, proofs.coverage) == ("passed", (), 1.0)
    assert len(shown) == 6


def test_refusals_shown_are_what_the_code_says() -> None:
    weights = [0.5, 0.5]
    with pytest.raises(QmtlError) as page:
        check_page_size(-1)
    with pytest.raises(QmtlError) as capture:
        code_hash(lambda view: weights[0])
    assert page.value.message in (ROOT / "docs" / "contracts.md").read_text()
    assert capture.value.message in (ROOT / "docs" / "authoring.md").read_text()


def test_worked_example_has_the_ids_that_the_sdk_computes() -> None:
    class Example(Strategy):
        def setup(self) -> None:
            self.target(self.bars()["close"].rolling_mean(10))

    text = (ROOT / "docs" / "identity.md").read_text()
    for node in build(Example).nodes:
        assert node.node_id in text
        assert f"CRC-32 {node_crc32(node.node_id)}\n" in text


def test_every_counter_is_documented_and_every_documented_one_counts() -> None:
    sources = [
        path
        for package in ("foundation", "gateway", "dagmgr", "world", "executor")
        for path in (ROOT / f"qmtl_{package}").rglob("*.py")
    ]
    counted = {
        name for path in sources if "pb" not in path.parts for name in re.findall(r'"(\w+_total)"', path.read_text())
    }
    told = set(re.findall(r"^\| `(\w+_total)", (ROOT / "docs" / "operations" / "index.md").read_text(), re.MULTILINE))
    assert told == counted


def test_both_readmes_show_the_same_commands() -> None:
    english, korean = (list(shown_commands(ROOT / name)) for name in ("README.md", "README.ko.md"))
    assert english == korean
