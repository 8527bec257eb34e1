"""The command line ``qmtl``: one verb per step from a fresh machine to a strategy that a world has judged."""
