"""The world service: worlds, policies, evaluations, activation and allocation."""
