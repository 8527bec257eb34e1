"""The DAG manager: one content-addressed graph of all strategies' nodes, and the dataset registry."""
