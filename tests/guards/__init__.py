"""Guards of the apply protocol, each with what stands in its place when it is taken out, and tests that notice."""
