"""The SDK's gRPC client: one gateway address, typed messages, domain errors."""
