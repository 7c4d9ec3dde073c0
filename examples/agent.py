#!/usr/bin/env python3
"""agent.py - an agent that binds a coalition, observes it, and acts.

  PYTHONPATH=python examples/agent.py demo-run/local.toml --expect FINGERPRINT

It is an integrator: a fresh identity for each run, bound into nothing, and the five steps
that each agent goes through. `coalition up` (README, "Five minutes") gives it something to
bind; `coalition freeze examples/superchain.toml` prints the fingerprint.
"""
from __future__ import annotations

import argparse
import sys
from typing import Any, Optional

from mosaik import Agent, Feed, Item, Map, MosaikError, Surface, codec, fingerprint, when


class Policy:
    """What the agent believes, and what it would do: pure, so that the same observations
    give the same actions. This one follows a price and acts when it moved by `step`."""

    def __init__(self, step: float) -> None:
        self.step, self.last = step, None  # type: float, Optional[float]

    def decide(self, price: float) -> Optional[str]:
        if self.last is not None and abs(price - self.last) < self.step:
            return None
        action = 'watch' if self.last is None else 'buy' if price < self.last else 'sell'
        self.last = price
        return action


def dispatch(action: str, tick: dict[str, Any]) -> None:
    """The one place where the agent touches the world. Here it only says what it would do."""
    print(f'act     {action} at {price_of(tick)} (tick {tick["seq"]})', flush=True)


def price_of(tick: dict[str, Any]) -> float:
    price = tick['price']
    return float(price['mantissa']) / float(10 ** int(price['scale']))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    arguments.add_argument('file', help='the coalition file: addresses, and what it is')
    arguments.add_argument('--expect', help='the fingerprint this agent is made for')
    arguments.add_argument('--role', default='oracle', help='of the organism it follows')
    arguments.add_argument('--pair', default='EUR/USD')
    arguments.add_argument('--ticks', type=int, default=0, help='end after so many (0: never)')
    arguments.add_argument('--step', type=float, default=0.0005)
    given = arguments.parse_args()

    # 1. Which coalition this is, is decided before anybody is asked: the fingerprint is an
    #    input of the agent's, the file only brings addresses.
    expect = given.expect or fingerprint(given.file)
    print(f'coalition {expect}' + ('' if given.expect else ' (as the file says)'), flush=True)

    # 2. One network handle, with a fresh identity. Tickets, if it writes, are shown by it:
    #    Agent(tickets=[open('ticket', 'rb').read()]).
    with Agent() as agent:

        # 3. What it reads. All of it is verified: a snapshot and changes against certified
        #    roots, items against the certified end of their chain.
        atlas = agent.bind_file(given.file, 'atlas', expect=expect).wait(20)
        cards = Map(atlas, Surface('map', 'cards', codec.ATLAS_CARD, codec.MEMBER_ID))
        oracle = agent.bind_file(given.file, given.role, expect=expect).wait(20)
        ticks = Feed(oracle, Surface('stream', given.pair, codec.PRICE_TICK), from_newest=True)
        policy, busy = Policy(given.step), when.window(ticks, 60, 5)  # counts from here on

        when.online(cards).wait(20)
        for _, card in cards.items():
            print(f'member  {card["role"]}, version {card["version"]}', flush=True)

        # 4. The loop: observe, decide, act. A condition is how it waits for more than one
        #    thing, or for a pattern: here, five ticks within a minute.
        seen = 0
        while given.ticks == 0 or seen < given.ticks:
            item: Item = ticks.next(60)
            seen += 1
            action = policy.decide(price_of(item.value))
            if action:
                dispatch(action, item.value)
        print(f'done    {seen} ticks; ' + ('a busy feed' if busy else busy.explain()), flush=True)

        # 5. What it writes, if anything, goes through a ticket of the component's issuer:
        #    mosaik.Map(bond, surface).insert(...) raises Refused, naming the clause, without.
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except MosaikError as e:
        sys.exit(f'agent.py: {e}')
    except KeyboardInterrupt:
        sys.exit(0)
