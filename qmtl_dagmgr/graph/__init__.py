"""The global graph: nodes, edges, and the strategy versions that use them."""
