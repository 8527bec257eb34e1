"""Histories that never were: one flawless, and forgeries of it, one for each way to break an invariant."""
