"""Makes tokens as an attacker would: with keys of one's own, with the runtime's public key, with its stolen one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from casa_runtime import Json
from casa_stack import Stack
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""

Sign = Callable[[bytes], bytes]


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(header: Json | bytes, claims: Json | bytes, sign: Sign) -> str:
    """A compact JWS."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(encode(part) for part in parts)
    return f"{signed}.{encode(sign(signed.encode()))}"


def es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def hs256(secret: bytes) -> Sign:
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def constant(signature: bytes) -> Sign:
    return lambda _: signature


OWN_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: ec.EllipticCurvePublicKey) -> Json:
    point = key.public_numbers()
    x, y = (encode(value.to_bytes(32, "big")) for value in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


@dataclass(frozen=True)
class Genuine:
    """A token of the runtime, taken apart."""

    stack: Stack
    text: str

    @property
    def header(self) -> Json:
        value: Json = json.loads(decode(self.text.split(".")[0]))
        return value

    @property
    def claims(self) -> Json:
        value: Json = json.loads(decode(self.text.split(".")[1]))
        return value

    @property
    def signature(self) -> bytes:
        return decode(self.text.split(".")[2])

    @property
    def public_jwk(self) -> Json:
        jwk: Json = self.stack.runtime.http.get("/oauth/jwks").json()["keys"][0]
        return jwk

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        x, y = (int.from_bytes(decode(self.public_jwk[name]), "big") for name in ("x", "y"))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def public_bytes(self, encoding: Encoding, form: PublicFormat) -> bytes:
        return self.public_key.public_bytes(encoding, form)

    @property
    def stolen_key(self) -> ec.EllipticCurvePrivateKey:
        """The runtime's private key, out of its database."""
        database = self.stack.state / "runtime/casa.sqlite"
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            query = "SELECT private_key FROM signing_keys WHERE kid = ?"
            row = connection.execute(query, [self.header["kid"]]).fetchone()
        finally:
            connection.close()
        return ec.derive_private_key(int.from_bytes(decode(row[0]), "big"), ec.SECP256R1())

    def signed_by_own_key(self, **header: object) -> str:
        """The same claims under another key's signature, with these changes of the header."""
        return compact({**self.header, **header}, self.claims, es256(OWN_KEY))

    def signed_by_stolen_key(self, header: Json | None = None, **claims: object) -> str:
        """Changed claims under the runtime's own signature; None takes a claim out."""
        wanted = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        return compact(header or self.header, wanted, es256(self.stolen_key))
