"""``qmtl init``: a strategy and a policy to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from qmtl_sdk.cli.session import Session, command

WORLD: Final = "demo"
STRATEGY_FILE: Final = "strategy.py"
POLICY_FILE: Final = "policy.yaml"

STRATEGY: Final = """\
from qmtl_sdk import Strategy


class SmaCross(Strategy):
    fast: int = 20
    slow: int = 200

    def setup(self):
        close = self.bars()["close"]  # symbols and interval come from the world's data preset
        up = close.rolling_mean(self.fast) > close.rolling_mean(self.slow)
        self.target(up.long_only())  # what is up, in equal parts; all else is cash
"""

POLICY: Final = """\
# Which strategies are good enough for the world, and how they share it. All keys: docs/policies.md.
gates:
  - {name: sharpe, rule: "metrics.sharpe >= 0.3"}
  - {name: drawdown, rule: "metrics.max_drawdown <= 0.6"}
score: "metrics.sharpe"
select: {top_k: 3}
"""


@command
def init(
    session: Session,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made when it is missing.")] = Path(),
) -> None:
    """Write an example strategy and a policy, and say how to go on."""
    from qmtl_foundation.errors import invalid_field

    texts = {directory / STRATEGY_FILE: STRATEGY, directory / POLICY_FILE: POLICY}
    for file in texts:
        if file.exists():
            raise invalid_field("directory", f"{file} exists and is not overwritten; choose another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text)
    except OSError as error:
        raise invalid_field("directory", f"{directory} cannot be written ({error.strerror}); choose another") from error
    strategy, policy = texts
    following = [
        "qmtl up",
        f"qmtl world create {WORLD} --mode paper --share-policy world --policy {policy}",
        f"qmtl submit {strategy}:SmaCross --world {WORLD}",
    ]
    written = [str(file) for file in texts]
    shown = "\n".join((f"wrote {' and '.join(written)}; next:", *(f"  {each}" for each in following)))
    session.answer({"written": written, "next": following}, shown)
