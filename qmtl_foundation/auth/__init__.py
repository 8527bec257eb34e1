"""Who calls, and what they may do: signed tokens (JWT, RFC 7519) by keys of a set (JWKS, RFC 7517), roles in worlds."""
