"""The local stack: a real PostgreSQL, a real nats-server and the services as processes on one machine."""
