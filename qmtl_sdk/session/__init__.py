"""A runner's side of orders: the gate, the journal of intents, and the session with a gateway."""
