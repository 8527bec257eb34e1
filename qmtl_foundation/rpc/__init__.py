"""gRPC servers: one way to serve, to map errors, to report health and to drain."""
