"""mosaik: agents that share no authority, coordinating, on the C library.

    from mosaik import Agent, Surface, Map, when, codec

    with Agent() as agent:
        atlas = agent.bind_file('local.toml', 'atlas', expect=FINGERPRINT).wait()
        cards = Map(atlas, Surface('map', 'cards', codec.ATLAS_CARD, codec.MEMBER_ID))
        when.online(cards).wait(10)
        for member, card in cards.items():
            print(card['role'], card['version'])

Everything read is verified; refusals say which rule. docs/python.md tells more.
"""
from . import admission, codec, when
from ._library import (BadSignature, Closed, Malformed, MosaikError, NotFound, Refused, Stale,
                       TimedOut, Unreachable, library)
from .admission import Acl, JwtKeys, issue_jwt, issue_jwt_secret, jwt_ticket
from .agent import Agent, Bond, Surface, Trace, fingerprint, id_of, new_key, peer_of
from .collections import (Cell, Collection, Map, Once, PriorityQueue, Set, Vec, Written, lookup)
from .streams import Consumer, Feed, Item, Producer, append

__version__: str = library.version().decode()

__all__ = ['Acl', 'Agent', 'BadSignature', 'Bond', 'Cell', 'Closed', 'Collection', 'Consumer',
           'Feed', 'Item', 'JwtKeys', 'Malformed', 'Map', 'MosaikError', 'NotFound', 'Once',
           'PriorityQueue', 'Producer', 'Refused', 'Set', 'Stale', 'Surface', 'TimedOut',
           'Trace', 'Unreachable', 'Vec', 'Written', 'admission', 'append', 'codec', 'fingerprint',
           'id_of', 'issue_jwt', 'issue_jwt_secret', 'jwt_ticket', 'lookup', 'new_key', 'peer_of',
           'when']
