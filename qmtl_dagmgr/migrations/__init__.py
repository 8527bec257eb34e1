"""Schema ``dagmgr``."""
