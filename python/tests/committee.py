"""A committee of real members in this process, each an agent in a thread of its own."""
import os
import queue
import random
import socket
import threading
import time

import mosaik

PATIENCE = 60  # seconds for what should take one or two; reached only by a failure
GIVEN = set()  # ports

SURFACES = {
    'words': ('map', mosaik.codec.STR, mosaik.codec.STR),
    'jobs': ('vec', mosaik.codec.STR, None),
    'names': ('set', mosaik.codec.STR, None),
    'leader': ('cell', mosaik.codec.U64, None),
    'genesis': ('once', mosaik.codec.BYTES, None),
    'queue': ('queue', mosaik.codec.STR, mosaik.codec.U64),
    'events': ('stream', mosaik.codec.I64, None),
    'backlog': ('stream', mosaik.codec.I64, None),
    'raises': ('stream', mosaik.codec.I64, None),
}


def surface(name):
    kind, value, key = SURFACES[name]
    return mosaik.Surface(kind, name, value, key, capacity=3 if kind == 'queue' else 0)


def free_ports(n):
    """Ports that nobody has; below those that the kernel gives to who connects, so nobody takes one
    before its owner listens, or while it is restarted."""
    ports = []
    while len(ports) < n:
        port = random.randrange(10000, 20000)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in GIVEN:
            GIVEN.add(port)
            ports.append(port)
    return ports


def until(condition, what, turn=lambda: threading.Event().wait(0.02), seconds=PATIENCE):
    """Waits until condition() gives something true; that. A fact that is not there yet, or null, is none."""
    deadline = time.monotonic() + seconds
    while True:
        why = None
        try:
            found = condition()
            if found:
                return found
        except (LookupError, TypeError, AttributeError) as e:
            why = e
        if time.monotonic() >= deadline:
            raise AssertionError(f'waited for {what}') from why
        turn()


class Thread(threading.Thread):
    """Runs make(agent) in an agent of its own, then lets the network happen until stop()."""

    def __init__(self, options, make):
        super().__init__(daemon=True)
        self.options, self.make = options, make
        self.ready, self.over = threading.Event(), threading.Event()
        self.asked = queue.Queue()
        self.error = None
        self.start()

    def run(self):
        try:
            with mosaik.Agent(**self.options) as agent:
                self.make(agent)
                self.ready.set()
                while not self.over.is_set():
                    agent.run(0.02)
                    while not self.asked.empty():
                        self.asked.get()(agent)
        except Exception as e:  # shown by whoever waits
            self.error = e
            self.ready.set()

    def wait(self):
        assert self.ready.wait(PATIENCE)
        if self.error:
            raise self.error
        return self

    def do(self, what):
        """what(agent), there, and its result."""
        result = queue.Queue()
        self.asked.put(lambda agent: result.put(what(agent)))
        return result.get(timeout=PATIENCE)

    def stop(self):
        self.over.set()
        self.join(PATIENCE)
        assert not self.is_alive()


class Committee:
    """stable_id, deployment and content are the ids of a component in `folder`."""

    def __init__(self, folder, name='shelf', acl=None, n=3, ids_of=None, surfaces=None,
                 retention=None):
        """ids_of(members): other ids than those made of the name. surfaces: others than SURFACES."""
        keys = [mosaik.new_key() for _ in range(n)]
        self.name = name
        self.members = [f'{mosaik.peer_of(key)}@127.0.0.1:{port}'
                        for key, port in zip(keys, free_ports(n))]
        self.ids = {'stable_id': mosaik.id_of(name), 'deployment': mosaik.id_of(name + ' 1'),
                    'content': mosaik.id_of(name + ' content'), 'members': self.members}
        if ids_of is not None:
            self.ids.update(ids_of(self.members))

        def join(agent):
            agent.add_component(name, surfaces=surfaces or [surface(s) for s in SURFACES], acl=acl,
                                retention=retention, **self.ids)

        self.threads = [
            Thread({'key': key, 'dir': os.path.join(folder, f'{name}-{i}'), 'components': True,
                    'listen': self.members[i].split('@')[1],
                    'hints': [m for m in self.members if m != self.members[i]]}, join)
            for i, key in enumerate(keys)]
        for thread in self.threads:
            thread.wait()

    def bind(self, agent):
        return agent.bind(self.name, **self.ids).wait(PATIENCE)

    def stop(self):
        for thread in self.threads:
            thread.stop()
