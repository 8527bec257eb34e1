"""The local stack's issuer: what it leaves in its directory, for whom, and when it signs anew."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import jwt
import pytest

from qmtl_foundation.auth.keys import open_keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.auth.tokens import Tokens
from qmtl_sdk.local.issuer import ISSUER, TOKEN_SECONDS, open_issuer


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_it_signs_is_believed_by_what_it_publishes(tmp_path: Path) -> None:
    issuer = open_issuer(tmp_path / "auth")
    async with open_keys(str(issuer.jwks)) as keys:
        tokens = Tokens(keys, AuthSettings(jwks=str(issuer.jwks), issuer=ISSUER))
        assert (await tokens.caller(issuer.token("ann", ["admin"]))).is_admin
        assert (await tokens.caller(issuer.service_token("gateway").read_text())).is_service


def test_nobody_else_may_read_key_or_tokens_and_the_public_half_is_public_only(tmp_path: Path) -> None:
    issuer = open_issuer(tmp_path / "auth")
    issuer.renew_user_token(tmp_path / "auth" / "token", "ann")
    issuer.service_token("gateway")
    assert mode(tmp_path / "auth") == 0o700
    found = {each.name: mode(each) for each in (tmp_path / "auth").iterdir()}
    assert found == {"key.pem": 0o600, "token": 0o600, "gateway.token": 0o600, "jwks.json": 0o644}
    [public] = json.loads(issuer.jwks.read_text())["keys"]
    assert set(public) == {"kty", "crv", "x", "kid", "alg", "use"}


def test_opened_again_it_is_the_same_and_good_tokens_stay(tmp_path: Path) -> None:
    first = open_issuer(tmp_path / "auth")
    token = first.service_token("gateway").read_text()
    again = open_issuer(tmp_path / "auth")
    assert (again.key_id, again.service_token("gateway").read_text()) == (first.key_id, token)


@pytest.mark.parametrize("spoilt", ["old", "foreign", "another", "", "a.b.c"])
def test_a_token_that_is_old_foreign_or_spoilt_is_made_anew(tmp_path: Path, spoilt: str) -> None:
    issuer, path = open_issuer(tmp_path / "auth"), tmp_path / "auth" / "token"
    made = {
        "old": issuer.token("ann", ["admin"], TOKEN_SECONDS / 2 - 1),
        "foreign": open_issuer(tmp_path / "other").token("ann", ["admin"]),
        "another": issuer.token("bob", ["admin"]),
    }
    path.write_text(made.get(spoilt, spoilt))
    issuer.renew_user_token(path, "ann")
    claims = jwt.decode(path.read_text(), issuer.key.public_key(), algorithms=["EdDSA"], audience="qmtl")
    assert (claims["sub"], claims["permissions"], mode(path)) == ("ann", ["admin"], 0o600)
