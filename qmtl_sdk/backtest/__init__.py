"""Backtest: targets and prices to fills, equity, returns and trades; signals to targets."""
