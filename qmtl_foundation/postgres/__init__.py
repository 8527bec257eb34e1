"""PostgreSQL: how the services reach it and how its schemas come to be."""
