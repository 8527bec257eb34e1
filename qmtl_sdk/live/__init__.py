"""Live evaluation: a strategy's bars one at a time, with the targets of its backtest."""
