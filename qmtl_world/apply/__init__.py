"""What may trade: activation sets, their switch in one transaction, and the events that tell of it."""
