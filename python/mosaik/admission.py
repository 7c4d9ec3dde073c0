"""Admission: who may write, subscribe, produce. Clauses (Acl), and JSON Web Tokens."""
from __future__ import annotations

import json
import time
from ctypes import byref, c_uint64
from typing import Any, Iterable, Optional, Union

from ._checked import checked
from ._library import Bytes, check, library, text
from .agent import Agent, _key
from .codec import ID, PEER, sequence, sized, varint

__all__ = ['Acl', 'JwtKeys', 'jwt_ticket', 'issue_jwt', 'issue_jwt_secret']


class Acl:
    """Clauses, all of which must admit: `Acl().peers([...]).readers()`. Each is judged by each
    side for itself, and a refusal names it."""

    def __init__(self) -> None:
        self._clauses: list[bytes] = []

    def _add(self, tag: int, payload: bytes = b'') -> Acl:
        self._clauses.append(varint(tag) + payload)
        return self

    @checked
    def peers(self, peers: Iterable[str]) -> Acl:
        """Only these."""
        return self._add(10, sequence(sorted({PEER.encode(p) for p in peers})))

    @checked
    def jwt(self, issuer: str, algorithm: str, key: bytes) -> Acl:
        """A JWT of this issuer under a public key; HS256 is not for an ACL, which is public."""
        return self._add(4, sized(issuer.encode()) + sized(algorithm.encode()) + sized(key))

    @checked
    def issuer(self, root: str) -> Acl:
        """A ticket of this issuer."""
        return self._add(0, ID.encode(root))

    @checked
    def reputation(self, organism: str, floor_bps: int) -> Acl:
        """A score of at least so many basis points at that organism."""
        return self._add(5, ID.encode(organism) + varint(floor_bps))

    @checked
    def settlement(self, organism: str) -> Acl:
        return self._add(6, ID.encode(organism))

    @checked
    def attestation(self, level: int) -> Acl:
        return self._add(9, bytes([level]))

    def readers(self) -> Acl:
        """The other clauses judge readers and subscribers too."""
        return self._add(14)

    def encode(self) -> bytes:
        """pc(AclComposition)."""
        return sequence(self._clauses)

    @checked
    def check(self, agent: Agent) -> Any:
        """As JSON; Malformed names the clause that is wrong."""
        encoded, out = self.encode(), Bytes()
        check(library.acl_json, agent.handle, encoded, len(encoded), byref(out))
        return json.loads(out.take())


class JwtKeys:
    """Keys of a validator of one's own: shared secrets too."""

    @checked
    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._handle = library.jwt_keys_new()

    def __del__(self) -> None:
        if getattr(self, '_handle', None):
            library.jwt_keys_free(self._handle)
            self._handle = None

    @checked
    def add(self, algorithm: str, key: bytes) -> JwtKeys:
        check(library.jwt_keys_add, self._handle, text(algorithm), key, len(key))
        return self

    @checked
    def add_jwk(self, jwk: Union[str, dict[str, Any]]) -> JwtKeys:
        """A JWK or a JWK set: a dictionary, or JSON text."""
        check(library.jwt_keys_add_jwk, self._handle,
              (jwk if isinstance(jwk, str) else json.dumps(jwk)).encode())
        return self

    @checked
    def judge(self, token: str, *, issuer: Optional[str] = None, audience: Optional[str] = None,
              peer: Optional[str] = None, at: Optional[float] = None) -> dict[str, Any]:
        """The claims, or Refused, BadSignature, Malformed with the reason."""
        expires, out = c_uint64(), Bytes()
        now = time.time() if at is None else at
        check(library.jwt_judge, self.agent.handle, self._handle, text(token), text(issuer),
              text(audience), text(peer), int(now * 1000), byref(expires), byref(out))
        return dict(json.loads(out.take()))


@checked
def issue_jwt(agent: Agent, key: bytes, claims: dict[str, Any]) -> str:
    """A token signed with EdDSA by a peer's key."""
    out = Bytes()
    library.jwt_issue(agent.handle, _key(key), json.dumps(claims).encode(), byref(out))
    return out.take().decode()


@checked
def issue_jwt_secret(agent: Agent, algorithm: str, secret: bytes, claims: dict[str, Any]) -> str:
    """A token under a shared secret: HS256, HS384, HS512."""
    out = Bytes()
    check(library.jwt_issue_secret, agent.handle, text(algorithm), secret, len(secret),
          json.dumps(claims).encode(), byref(out))
    return out.take().decode()


@checked
def jwt_ticket(agent: Agent, token: str) -> bytes:
    """A ticket that carries a token, for Agent(tickets=[...])."""
    out = Bytes()
    library.jwt_ticket(agent.handle, text(token), byref(out))
    return out.take()
