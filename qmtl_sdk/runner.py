"""``Runner``: submit a strategy, and the system backtests, evaluates and activates it inside a world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmtl_sdk.strategy.parameters import Parameter
    from qmtl_sdk.strategy.strategy import Strategy
    from qmtl_sdk.submission.result import SubmitResult, SweepCell, SweepResult


class Runner:
    """Submit strategies. Each call finds the gateway by ``QMTL_GATEWAY``, else the local stack's."""

    @staticmethod
    def submit(
        strategy: Strategy | type[Strategy],
        *,
        world: str,
        mode: str | None = None,
        data_preset: str | None = None,
        returns: Any = None,
        auto_returns: bool = True,
        as_of: str | None = None,
        author: str | None = None,
        gateway: str | None = None,
    ) -> SubmitResult:
        """Submit a strategy, class or instance, and return what the world made of it; works inside Jupyter too.

        ``mode`` is a wish that never raises what the world decides. ``data_preset`` overrides the world's. ``returns``
        (a Polars frame of ``ts``, ``return``, or one number per bar) are those of a strategy that states no output;
        they are evaluated and never activated. Otherwise they follow from its targets or signal, unless
        ``auto_returns`` is False, which refuses that. ``as_of`` is the dataset snapshot, RFC 3339 in UTC; default the
        preset's newest. ``author`` defaults to ``QMTL_AUTHOR``, else the user's name; ``gateway`` (``host:port``) to
        ``QMTL_GATEWAY``, else the local stack's. Raises QmtlError.
        """
        from qmtl_sdk.client import loop

        work = Runner.asubmit(
            strategy,
            world=world,
            mode=mode,
            data_preset=data_preset,
            returns=returns,
            auto_returns=auto_returns,
            as_of=as_of,
            author=author,
            gateway=gateway,
        )
        return loop.run(work)

    @staticmethod
    async def asubmit(
        strategy: Strategy | type[Strategy],
        *,
        world: str,
        mode: str | None = None,
        data_preset: str | None = None,
        returns: Any = None,
        auto_returns: bool = True,
        as_of: str | None = None,
        author: str | None = None,
        gateway: str | None = None,
    ) -> SubmitResult:
        """Do as ``submit``, inside a running event loop."""
        from qmtl_sdk.submission.flow import submit

        return await submit(
            strategy,
            world=world,
            mode=mode,
            data_preset=data_preset,
            returns=returns,
            auto_returns=auto_returns,
            as_of=as_of,
            author=author,
            gateway=gateway,
        )

    @staticmethod
    def sweep(
        strategy: type[Strategy],
        *,
        grid: Mapping[str, Sequence[Parameter]],
        world: str,
        data_preset: str | None = None,
        as_of: str | None = None,
        author: str | None = None,
        gateway: str | None = None,
    ) -> SweepResult:
        """Evaluate the product of a grid, in its order; equal nodes are computed once.

        Every cell counts as a trial of the world, and none is activated: submit the one that you choose. A cell that
        cannot be computed says why in its ``error``. ``author`` and ``gateway`` are those of ``submit``.

        Raises QmtlError; SweepStoppedError for what ends a sweep on its way, SweepInterruptedError (a
        KeyboardInterrupt) on Ctrl-C: ``done`` of both has the cells evaluated so far.
        """
        from qmtl_sdk.client import loop
        from qmtl_sdk.submission import flow
        from qmtl_sdk.submission.result import SweepInterruptedError, SweepResult

        done: list[SweepCell] = []

        work = flow.sweep(
            strategy,
            grid,
            world=world,
            data_preset=data_preset,
            as_of=as_of,
            author=author,
            gateway=gateway,
            on_cell=done.append,
        )
        try:
            return loop.run(work)
        except KeyboardInterrupt as interrupt:
            raise SweepInterruptedError(SweepResult(tuple(done))) from interrupt
