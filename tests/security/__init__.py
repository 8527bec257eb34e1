"""Who is let in, tried on a running stack: each role at each method, each kind of bad token, hostile requests."""
