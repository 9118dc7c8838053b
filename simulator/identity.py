"""The user's identity: the id_token of the `openid` scope, and its signing key."""

from __future__ import annotations

import base64
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator.documents import Document, dump_json

KEY_ID = "simulator-1"


@cache
def _key() -> rsa.RSAPrivateKey:
    """Created when first needed; id_tokens are not kept over a restart."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def user_of(realm: str) -> str:
    return f"1182d6ec-7a1e-4d2b-a1d0-{realm[-12:]:0>12}"


def id_token(issuer: str, client_id: str, realm: str, now: float) -> str:
    header = _part({"alg": "RS256", "kid": KEY_ID, "typ": "JWT"})
    claims = _part(
        {
            "sub": user_of(realm),
            "aud": [client_id],
            "realmid": realm,
            "auth_time": int(now),
            "iss": issuer,
            "exp": int(now) + 3600,
            "iat": int(now),
        }
    )
    signed = f"{header}.{claims}"
    signature = _key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_base64(signature)}"


def key_set() -> Document:
    public = _key().public_key().public_numbers()
    modulus = _base64(public.n.to_bytes(256, "big"))
    exponent = _base64(public.e.to_bytes(3, "big"))
    key: Document = {"kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256"}
    return {"keys": [{**key, "n": modulus, "e": exponent}]}


def _part(values: Document) -> str:
    return _base64(dump_json(values))


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
