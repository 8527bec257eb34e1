"""``qmtl top``: what goes on in worlds, by the gateway's calls, and how much of it, by what the services expose."""
