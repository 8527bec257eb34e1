"""The cluster that is struck: its servers, services and runners, each a process of its own."""
