"""Order ingress: intents are checked against their world's gate and stored in the order stream."""
