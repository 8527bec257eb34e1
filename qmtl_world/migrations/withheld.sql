-- What the service may not do in its own schema; applied after the grants that every service gets.
REVOKE UPDATE, DELETE ON audit FROM {role};
REVOKE INSERT, UPDATE, DELETE ON audit_head FROM {role};
