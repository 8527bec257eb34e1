"""The local stack's own issuer of tokens: a key that never leaves its directory, and what it signed.

``auth/`` holds ``key.pem`` (Ed25519), ``jwks.json`` (its public half, which the services read), ``token`` (the user's:
an administrator of this stack), and ``<service>.token`` of each service that calls others; beside them lie the
passwords of NATS (``nats.json``). All but the public half may be read by their user only. Tokens are made again at
``qmtl up`` when less than half of their time is left.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qmtl_foundation.auth.caller import SERVICE_PREFIX, Role
from qmtl_sdk.local.whole_file import PUBLIC, SECRET, replace_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER: Final = "qmtl-local"
AUDIENCE: Final = "qmtl"
TOKEN_SECONDS: Final = 365 * 86_400
KEY: Final = "key.pem"
JWKS: Final = "jwks.json"
ADMIN: Final = Role.ADMIN.text


@dataclass(frozen=True, slots=True)
class Issuer:
    """Sign tokens for one stack."""

    folder: Path
    key_id: str
    key: Ed25519PrivateKey

    @property
    def jwks(self) -> Path:
        """Return where the public key is."""
        return self.folder / JWKS

    def token(self, name: str, permissions: Sequence[str], seconds: float = TOKEN_SECONDS, **claims: Any) -> str:
        """Return a token for ``name`` that lasts for ``seconds``; ``claims`` stand beside or instead of the usual."""
        import jwt

        now = int(time.time())
        stated = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": name,
            "iat": now,
            "exp": int(now + seconds),
            "permissions": list(permissions),
            **claims,
        }
        return jwt.encode(stated, self.key, algorithm="EdDSA", headers={"kid": self.key_id})

    def renew_user_token(self, path: Path, name: str) -> None:
        """Leave a good token of the stack's user in a file: an administrator's."""
        self._renew(path, name, (ADMIN,))

    def service_token(self, service: str) -> Path:
        """Return the file of a service's token, made where it is missing or grows old."""
        path = self.folder / f"{service}.token"
        self._renew(path, service, (SERVICE_PREFIX + service,))
        return path

    def _renew(self, path: Path, name: str, permissions: Sequence[str]) -> None:
        if not _is_good(path, name, self.key):
            replace_file(path, self.token(name, permissions).encode(), SECRET)


def open_issuer(folder: Path) -> Issuer:
    """Return the issuer of a directory, made with its key where there is none."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / KEY
    if not file.exists():
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        replace_file(file, made, SECRET)
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{file} holds no Ed25519 key")
    return _published(folder, key)


def _published(folder: Path, key: Ed25519PrivateKey) -> Issuer:
    """Return the issuer, its public key written where services read it, under its thumbprint (RFC 7638)."""
    from jwt.algorithms import OKPAlgorithm

    public = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
    members = json.dumps({name: public[name] for name in ("crv", "kty", "x")}, separators=(",", ":"), sort_keys=True)
    key_id = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
    stated = {"crv": public["crv"], "kty": public["kty"], "x": public["x"], "kid": key_id, "alg": "EdDSA", "use": "sig"}
    document = json.dumps({"keys": [stated]}, indent=2).encode() + b"\n"
    if not (folder / JWKS).exists() or (folder / JWKS).read_bytes() != document:
        replace_file(folder / JWKS, document, PUBLIC)
    return Issuer(folder, key_id, key)


def _is_good(path: Path, name: str, key: Ed25519PrivateKey) -> bool:
    """Tell whether a token is this key's, names its owner, and has more than half of its time to live."""
    import jwt

    try:
        claims = jwt.decode(path.read_text().strip(), key.public_key(), algorithms=["EdDSA"], audience=AUDIENCE)
    except (OSError, ValueError, jwt.PyJWTError):
        return False
    return bool(claims["sub"] == name and claims["exp"] - time.time() > TOKEN_SECONDS / 2)
