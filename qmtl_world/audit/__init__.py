"""The audit of worlds: what was done, by whom and why; append-only, each entry hashed with the one before it."""
