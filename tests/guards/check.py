"""Remove each guard of the apply protocol from a copy of the code, one at a time: a test must go red.

``make guards``, or ``python -m tests.guards.check [NAME...]`` for those whose invariant is a name, or whose file or
words have it in them. It copies the tracked files, runs the tests of all guards unchanged, which must be green, and
then those of each guard without it, which must fail: a test that cannot be collected, or a run that does not end, is no
answer. What was found goes into the table of the page on reliability; nothing else outside the copies is touched.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Final

from tests.guards.guard import Guard
from tests.guards.guards import GUARDS
from tests.support.pages import section, write_section

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reliability.md"
SECTION: Final = "guards"
FAILED: Final = re.compile(r"^FAILED (.+?)(?: - |$)", re.MULTILINE)
WORKERS: Final = 2
TEST_SECONDS: Final = 60  # a test that hangs without a guard fails by then
GUARD_SECONDS: Final = 180.0
ALL_SECONDS: Final = 900.0  # of the tests of all guards together
OK: Final = 0  # exit codes of pytest; those above RED are no answer
RED: Final = 1


@dataclass(frozen=True, slots=True)
class Found:
    """Hold what came of removing one guard: the test that failed first, empty for none, and what was said instead."""

    guard: Guard
    where: str
    test: str
    seconds: float
    said: str


def main(names: Sequence[str]) -> int:
    """Check the guards of some names, of none stated all; return the exit code."""
    guards = [each for each in GUARDS if not names or any(is_named(each, name) for name in names)]
    if not guards:
        print(f"no guard is named by {', '.join(names)}", file=sys.stderr)
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qmtl-guards-") as folder:
        copies = [Path(folder, f"copy-{number}") for number in range(WORKERS)]
        copy_tracked(copies[0])
        if not green(guards, copies[0]):
            return 1
        for copy in copies[1:]:
            shutil.copytree(copies[0], copy)
        found = list(remove_each(guards, copies))
    write(found)
    unheld = [each for each in found if not each.test]
    print(f"\n{len(found)} guards removed, {time.monotonic() - started:.0f} s; {len(unheld)} wrong")
    for each in unheld:
        print(f"  {each.guard.invariant} {each.where}: {each.guard.what}: {each.said}")
    return 1 if unheld else 0


def is_named(guard: Guard, name: str) -> bool:
    """Tell whether a name is a guard's invariant, or part of its file or words."""
    return name == guard.invariant or name in guard.file or name in guard.what


def copy_tracked(folder: Path) -> None:
    """Copy the files that git knows, as they are now."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    for name in listed.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def green(guards: Iterable[Guard], copy: Path) -> bool:
    """Tell whether the tests of all guards pass with them in place."""
    tests = list(dict.fromkeys(test for each in guards for test in each.tests))
    began = time.monotonic()
    code, said = run(tests, copy, ALL_SECONDS, keeps_bytecode=True)
    print(f"with all guards: {'green' if code == OK else 'NOT GREEN'}, {time.monotonic() - began:.0f} s", flush=True)
    if code != OK:
        print(said, file=sys.stderr)
    return code == OK


def remove_each(guards: Sequence[Guard], copies: Iterable[Path]) -> Iterator[Found]:
    """Remove one guard after the other, as many at once as there are copies; say and yield what was found in order."""
    free: Queue[Path] = Queue()
    for copy in copies:
        free.put(copy)

    def remove_one(guard: Guard) -> Found:
        copy = free.get()
        try:
            return remove(guard, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(WORKERS) as threads:
        for number, found in enumerate(threads.map(remove_one, guards), 1):
            guard = found.guard
            state = f"red: {found.test}" if found.test else f"WRONG: {found.said}"
            place = f"{guard.invariant} {guard.place}, {found.where}: {guard.what}"
            print(f"{number}/{len(guards)} {place}: {state} ({found.seconds:.0f} s)", flush=True)
            yield found


def remove(guard: Guard, copy: Path) -> Found:
    """Remove a guard from a copy, run its tests, and put it back."""
    path, began = copy / guard.file, time.monotonic()
    source = path.read_text()
    try:
        without = guard.removed(source)
    except ValueError as error:
        return Found(guard, guard.file, "", 0.0, str(error))
    path.write_text(without)
    try:
        code, said = run(guard.tests, copy, GUARD_SECONDS)
    finally:
        path.write_text(source)
    failed = FAILED.search(said) if code == RED else None
    test = "" if failed is None else failed[1]
    return Found(guard, guard.where(source), test, time.monotonic() - began, "" if test else _why(code))


def run(tests: Iterable[str], copy: Path, seconds: float, *, keeps_bytecode: bool = False) -> tuple[int, str]:
    """Run tests of the copy; return pytest's exit code and what it said.

    Bytecode is kept of the unchanged files only: of two texts of one file, one may be taken for the other by its time.
    """
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "" if keeps_bytecode else "1"}
    options = ("-x", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}", "--hypothesis-seed=0")
    with subprocess.Popen(
        (sys.executable, "-m", "pytest", *options, *tests),
        cwd=copy,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()  # what its tests have started ends with it
            said, _ = process.communicate()
    return process.returncode, said


def write(found: Iterable[Found]) -> None:
    """Write what was found into the page's table; what was found before of other guards stays in it."""
    stood = section(PAGE, SECTION).splitlines()
    tests = {each.guard: each.test for each in found}
    lines = ["| | in the | guard | without it goes red |", "| --- | --- | --- | --- |"]
    for guard in GUARDS:
        row = guard.row((ROOT / guard.file).read_text())
        if guard in tests:
            lines.append(f"{row} {_shown(tests[guard])} |")
        else:
            lines += [line for line in stood if line.startswith(row)]
    write_section(PAGE, SECTION, "\n".join(lines))


def _shown(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[`{_cell(name)}`](../{file})" if test else "**nothing**"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _why(code: int) -> str:
    if code == OK:
        return "its tests stay green without it"
    if code == -signal.SIGKILL:
        return f"its tests did not end within {GUARD_SECONDS:.0f} s"
    return f"its tests gave no answer (pytest's exit code is {code})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
