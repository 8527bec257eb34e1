"""A world on one page: what `qmtl world report` writes."""
