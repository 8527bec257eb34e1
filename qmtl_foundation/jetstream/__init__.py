"""NATS JetStream: the connection, streams, and synced publishing."""
