"""Whether the issuer's keys can be read, and a service's own token is believed by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qmtl_foundation.auth.settings import SKEW_SECONDS, AuthSettings
from qmtl_foundation.clock import utc_now
from qmtl_foundation.diagnosis.finding import Verdict
from qmtl_foundation.diagnosis.keys import examine_keys, examine_service_token
from qmtl_sdk.local.issuer import ISSUER, Issuer, open_issuer
from tests.support.beside import free_port


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return open_issuer(tmp_path / "auth")


async def test_keys_of_an_issuer_are_counted(issuer: Issuer) -> None:
    found, keys = await examine_keys(str(issuer.jwks))
    assert (found.verdict, found.says) == (Verdict.OK, f"{issuer.jwks} has 1 key for EdDSA")
    assert keys is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("<html>", "is not JSON"),
        ("[]", "has no usable keys (it is no JSON object)"),
        ('{"keys": []}', "has no usable keys"),
        ('{"keys": [{"kty": "oct", "k": "aGlkZGVu", "alg": "HS256"}]}', "has no usable keys (it has no key for RS256"),
        (json.dumps({"keys": [{"kty": "OKP"}]}), "has no usable keys"),
    ],
)
async def test_a_document_without_keys_is_named(content: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_text(content)
    found, keys = await examine_keys(str(file))
    assert (found.verdict, keys) == (Verdict.FAULT, None)
    assert says in found.says
    assert found.mend


async def test_a_server_of_keys_that_is_away_is_named() -> None:
    found, keys = await examine_keys(f"http://127.0.0.1:{free_port()}/keys")
    assert (found.verdict, keys) == (Verdict.FAULT, None)
    assert "Connection refused" in found.says
    assert found.mend.startswith("start who serves it")


async def test_a_url_of_keys_that_cannot_be_asked_is_a_fault_that_keeps_its_password() -> None:
    found, keys = await examine_keys("https://u:hidden@127.0.0.1/keys")
    assert (found.verdict, keys) == (Verdict.FAULT, None)
    assert "cannot be read" in found.says
    assert "hidden" not in found.says


async def token_verdict(issuer: Issuer, token: str, skew_seconds: int = SKEW_SECONDS) -> tuple[Verdict, str]:
    file = issuer.folder / "own.token"
    file.write_text(token)
    auth = AuthSettings(str(issuer.jwks), ISSUER, skew_seconds=skew_seconds)
    _, keys = await examine_keys(auth.jwks)
    found = await examine_service_token(str(file), "gateway", auth, keys, utc_now())
    return found.verdict, found.says


async def test_a_service_s_token_is_believed(issuer: Issuer) -> None:
    token = issuer.service_token("gateway").read_text()
    verdict, says = await token_verdict(issuer, token)
    assert (verdict, says.startswith("of gateway, ends in")) == (Verdict.OK, True)


async def test_a_token_that_nobody_would_take_is_a_fault(issuer: Issuer, tmp_path: Path) -> None:
    stranger = open_issuer(tmp_path / "other")
    for token, part in (
        (stranger.token("gateway", ["service:gateway"]), "which the issuer does not have"),
        (issuer.token("gateway", ["service:gateway"], iss="another"), "another issuer"),
        (issuer.token("gateway", ["service:gateway"], aud="another"), "another audience"),
        (issuer.token("gateway", ["service:gateway"], -600), "ended at"),
        (issuer.token("gateway", ["service:executor"]), "without the permission service:gateway"),
        ("nonsense", "no JSON Web Token"),
        ("", "must be a readable file that holds a token"),
    ):
        verdict, says = await token_verdict(issuer, token)
        assert (verdict, part in says) == (Verdict.FAULT, True), says


@pytest.mark.parametrize(("skew_seconds", "verdict"), [(SKEW_SECONDS, Verdict.FAULT), (120, Verdict.WARNING)])
async def test_a_token_is_taken_behind_its_end_as_far_as_the_settings_let_clocks_differ(
    issuer: Issuer, skew_seconds: int, verdict: Verdict
) -> None:
    token = issuer.token("gateway", ["service:gateway"], -60)
    assert (await token_verdict(issuer, token, skew_seconds))[0] is verdict


async def test_without_keys_a_token_is_read_only(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(open_issuer(tmp_path / "other").token("gateway", []))
    found = await examine_service_token(str(file), "gateway", None, None, utc_now())
    assert found.verdict is Verdict.OK
