"""Tokens of real keys, good ones and each kind of bad one (RFC 7519, RFC 8725)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from qmtl_foundation.auth.caller import Role
from qmtl_foundation.auth.keys import KEPT_SECONDS, Keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.auth.tokens import MAX_TOKEN_BYTES, Tokens
from qmtl_foundation.errors import QmtlError, Reason

SETTINGS = AuthSettings(jwks="unread", issuer="https://issuer.example", skew_seconds=30)
KEYS: dict[str, tuple[Any, Any]] = {
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "RS256": (rsa.generate_private_key(65_537, 2_048), RSAAlgorithm),
}


def document(*algorithms: str, **more: Any) -> bytes:
    """Return the JWKS of keys, each under its algorithm's name as id."""
    keys = [
        {**json.loads(KEYS[each][1].to_jwk(KEYS[each][0].public_key())), "kid": each, "alg": each, "use": "sig", **more}
        for each in algorithms or KEYS
    ]
    return json.dumps({"keys": keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {
        "iss": SETTINGS.issuer,
        "aud": "qmtl",
        "sub": "ann",
        "iat": now,
        "exp": now + 600,
        "permissions": ["w:author"],
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(algorithm: str = "EdDSA", key_id: str | None = None, **changes: Any) -> str:
    headers = {"kid": algorithm if key_id is None else key_id}
    return jwt.encode(claims(**changes), KEYS[algorithm][0], algorithm=algorithm, headers=headers)


@dataclass(slots=True)
class Clock:
    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


def tokens(*algorithms: str, now: Callable[[], float] = time.time) -> Tokens:
    return Tokens(Keys(lambda: document(*algorithms), "a test"), SETTINGS, now)


async def fault(given: str, verifier: Tokens | None = None) -> str:
    with pytest.raises(QmtlError) as caught:
        await (verifier or tokens()).caller(given)
    assert caught.value.reason is Reason.UNAUTHENTICATED
    assert not given or given not in caught.value.message  # a token is a secret, and messages are logged
    return caught.value.metadata["fault"]


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_good_token_tells_who_calls_and_what_it_may(algorithm: str) -> None:
    caller = await tokens().caller(token(algorithm))
    assert (caller.name, caller.role_in("w"), caller.role_in("v")) == ("ann", Role.AUTHOR, Role.CALLER)


async def test_a_token_within_the_skew_still_counts_and_one_beyond_does_not() -> None:
    now = int(time.time())
    await tokens().caller(token(exp=now - 20))
    assert await fault(token(exp=now - 40)) == "expired"
    await tokens().caller(token(nbf=now + 20))
    assert await fault(token(nbf=now + 40)) == "not_yet"


async def test_a_token_that_was_believed_is_no_longer_when_it_expires_and_its_key_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    verifier = tokens(now=clock)
    given = token(exp=int(clock.now) + 5)
    await verifier.caller(given)
    monkeypatch.setitem(KEYS, "EdDSA", (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm))
    assert (await verifier.caller(given)).name == "ann"  # remembered: the key set was not read again
    clock.now += 5 + SETTINGS.skew_seconds
    with pytest.raises(QmtlError):  # it is verified again now
        await tokens().caller(given)


async def test_a_token_that_was_believed_is_not_while_the_keys_are_too_old() -> None:
    now = [0.0]
    keys = Keys(document, "a test", lambda: now[0])
    verifier = Tokens(keys, SETTINGS)
    given = token()
    await verifier.caller(given)
    now[0] = KEPT_SECONDS + 1.0
    with pytest.raises(QmtlError) as caught:
        await verifier.caller(given)
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aud": "another"}, "audience"),
        ({"aud": ["another", "third"]}, "audience"),
        ({"iss": "https://issuer.example/"}, "issuer"),
        ({"exp": None}, "claims"),
        ({"iat": None}, "claims"),
        ({"sub": None}, "claims"),
        ({"aud": None}, "claims"),
        ({"iss": None}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": "a\nb"}, "claims"),
        ({"sub": "a" * 129}, "claims"),
        ({"permissions": "admin"}, "claims"),
        ({"permissions": [1]}, "claims"),
        ({"permissions": {"admin": True}}, "claims"),
        ({"exp": "soon"}, "malformed"),
    ],
)
async def test_claims_that_do_not_fit_are_named(changes: dict[str, Any], expected: str) -> None:
    assert await fault(token(**changes)) == expected


async def test_an_audience_among_others_is_enough() -> None:
    assert (await tokens().caller(token(aud=["another", "qmtl"]))).name == "ann"


async def test_a_signature_by_another_key_is_refused_under_a_known_id() -> None:
    foreign = jwt.encode(claims(), ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "EdDSA"})
    assert await fault(foreign) == "signature"


async def test_a_changed_payload_is_refused() -> None:
    header, payload, signature = token().split(".")
    stated = json.loads(base64.urlsafe_b64decode(payload + "=="))
    stated["permissions"] = ["admin"]
    forged = base64.urlsafe_b64encode(json.dumps(stated).encode()).rstrip(b"=").decode()
    assert await fault(f"{header}.{forged}.{signature}") == "signature"


async def test_no_algorithm_but_those_of_public_keys_is_believed() -> None:
    unsigned = jwt.encode(claims(), "", algorithm="none", headers={"kid": "EdDSA"})
    assert await fault(unsigned) == "algorithm"
    shared = jwt.encode(claims(), "secret" * 10, algorithm="HS256", headers={"kid": "EdDSA"})
    assert await fault(shared) == "algorithm"


async def test_the_key_says_the_algorithm_and_a_header_of_another_is_refused() -> None:
    confused = jwt.encode(claims(), KEYS["ES256"][0], algorithm="ES256", headers={"kid": "RS256"})
    assert await fault(confused) in ("algorithm", "signature")


async def test_an_unknown_key_is_named_as_that() -> None:
    assert await fault(token(key_id="another")) == "key"


async def test_without_an_id_the_only_key_is_meant_and_of_several_none() -> None:
    without = jwt.encode(claims(), KEYS["EdDSA"][0], algorithm="EdDSA")
    assert (await tokens("EdDSA").caller(without)).name == "ann"
    assert await fault(without, tokens("EdDSA", "ES256")) == "key"


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "a.b",
        "a.b.c",
        "....",
        "e30.e30.e30",
        "é.é.é",
        base64.urlsafe_b64encode(b"[" * 5_000).decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": ["EdDSA"], "kid": "EdDSA"}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": "EdDSA", "kid": {"a": 1}}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b"\xff\xfe").decode() + ".e30.e30",
        "x" * (MAX_TOKEN_BYTES + 1),
    ],
)
async def test_what_is_no_token_is_refused_and_breaks_nothing(given: str) -> None:
    assert await fault(given) in ("malformed", "algorithm", "key")


async def test_a_withdrawn_key_is_believed_no_longer_not_even_for_a_token_that_is_remembered() -> None:
    published = [document("EdDSA", "ES256")]
    keys = Keys(lambda: published[0], "a test")
    verifier = Tokens(keys, SETTINGS)
    given = token("EdDSA")
    await verifier.caller(given)
    published[0] = document("ES256")
    await keys.refresh()
    assert await fault(given, verifier) == "key"
