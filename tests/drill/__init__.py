"""The drill of backup and restore: everything is lost under load, and comes back by ``docs/operations/backup.md``."""
