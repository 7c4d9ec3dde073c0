#!/usr/bin/env python3
"""A read replica as a process of its own: a node that is of no committee follows a gated component
and serves it to readers, with the committee's certificates.

  live_replicas.py PROGRAM

Speaks TAP. Signals only the members of its own `coalition up` (live_bed.py, Up) and the node that it
starts itself.
"""
import json
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from live_bed import CLAUSE, PROGRAM, checked, gated_file, play_on_up, run, signers
from tap import free_port, note, until


class Bearer:
    """A key with a ticket to read."""

    def __init__(self, up, folder, name):
        self.key = os.path.join(folder, name + '.key')
        self.ticket = os.path.join(folder, name + '.ticket')
        self.peer = checked('key', 'new', self.key).strip()
        self.claims = self.issue(up)
        self.shows = ('--key', self.key, '--ticket', self.ticket)

    def issue(self, up, *more):
        """A ticket in the place of the one that was there; its claims."""
        new = self.ticket + '.new'
        claims = json.loads(checked('tickets', 'issue', up.file, *signers(up), '--sub', self.peer,
                                    '--aud', 'atlas', '-o', new, '--scope', 'read', *more,
                                    '--json'))['claims']
        os.replace(new, self.ticket)
        return claims


class Replica:
    def __init__(self, up, folder):
        self.folder, self.up = folder, up
        self.listen = f'127.0.0.1:{free_port()}'
        self.bearer = Bearer(up, folder, 'replica')
        self.address = f'{self.bearer.peer}@{self.listen}'
        self.config = os.path.join(folder, 'replica.toml')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(f'key = "{self.bearer.key}"\nlisten = "{self.listen}"\n'
                    f'dir = "{folder}/replica"\ntickets = ["{self.bearer.ticket}"]\n'
                    f'components = [{{ file = "{up.file}", component = "atlas", replica = true }}]\n')
        self.log = open(os.path.join(folder, 'replica.log'), 'w', encoding='utf-8')
        self.start()

    def start(self):
        self.process = subprocess.Popen([PROGRAM, 'node', self.config], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def logged(self):
        with open(self.log.name, encoding='utf-8') as f:
            return f.read()

    def said(self):
        status, out, _ = run('status', '--node', self.address, '--json')
        replicas = json.loads(out)['nodes'][0].get('replicas', []) if status == 0 else []
        return replicas[0] if replicas else {}

    def list(self, bearer, *more, timeout=20):
        shows = bearer.shows if bearer is not None else ()
        return run('atlas', 'list', self.up.file, *shows, '--through', self.address, '--timeout',
                   str(timeout), *more)

    def cards(self, bearer):
        status, out, err = self.list(bearer, '--json')
        assert status == 0, err
        return json.loads(out)['cards']

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.log.close()
        text = self.logged()
        assert status == 0 and 'Sanitizer' not in text and 'assertion' not in text, (status, text)


def served(up, folder, it):
    """a node that is of no committee serves what it follows; readers check its certificates"""
    it['replica'] = r = Replica(up, folder)
    it['reader'] = reader = Bearer(up, folder, 'reader')
    until(lambda: r.said().get('age_ms') is not None, 'the replica to have what is certified')
    direct = json.loads(checked('atlas', 'list', up.file, *reader.shows, '--json'))['cards']
    until(lambda: direct and r.cards(reader) == direct, 'the same cards as of the members')
    said = until(r.said, 'its status')
    assert said['component'] == 'atlas' and said['members_linked'] > 0 and said['epoch'] == 1, said
    assert said['surfaces'][0]['index'] > 0, said
    note(f"it serves {len(direct)} cards, {said['age_ms']} ms old")


def written(up, folder, it):
    """what is written is there within the age that a reader allows"""
    member = it['replica'].cards(it['reader'])[0]['stable_id']
    ticket = os.path.join(folder, 'operator.ticket')
    checked('tickets', 'issue', up.file, *signers(up), '--sub', checked('key', 'show', up.key).strip(),
            '--aud', 'atlas', '-o', ticket)
    checked('atlas', 'publish', up.file, '--member', member, '--key', up.key, '--ticket', ticket,
            '--hint', 'mirrored')

    def there():
        status, out, _ = it['replica'].list(it['reader'], '--max-age', '10', '--json')
        return status == 0 and 'mirrored' in json.dumps(json.loads(out)['cards'])
    until(there, 'the card to be served by the replica')


def gated(up, folder, it):
    """who shows no ticket is refused by the replica with the clause, as by a member"""
    status, _, err = it['replica'].list(None)
    assert status != 0 and CLAUSE + 'the peer shows no ticket' in err, (status, err)
    said = until(it['replica'].said, 'its status')
    assert said['refused'] > 0 and 'the peer shows no ticket' in said['reason'], said


def revoked(up, folder, it):
    """a ticket that its issuer revoked is worth nothing at the replica either"""
    other = Bearer(up, folder, 'other')
    assert it['replica'].list(other)[0] == 0
    checked('tickets', 'revoke', up.file, *signers(up), '--jti', other.claims['jti'], '-o',
            os.path.join(folder, 'list'))
    until(lambda: it['replica'].list(other)[0] != 0, 'the replica to know that it is revoked')
    status, _, err = it['replica'].list(other)
    assert status != 0 and 'ticket was revoked by its issuer' in err, (status, err)
    assert it['replica'].list(it['reader'])[0] == 0


def alone(up, folder, it):
    """without its committee it serves what it has, says how old, and is refused by who wants newer"""
    for m in up.members:
        up.signal(m, signal.SIGSTOP)
    try:
        until(lambda: (it['replica'].said().get('age_ms') or 0) > 6000, 'the replica to grow old')
        status, out, err = it['replica'].list(it['reader'], '--json')
        assert status == 0 and json.loads(out)['cards'], (status, err)
        status, _, err = it['replica'].list(it['reader'], '--max-age', '2', timeout=5)
        assert status != 0, 'what is older than 2 s was shown as newer'
        stated = re.search(r'the head is (\d+) ms old, 2000 are allowed', err)
        assert stated and int(stated.group(1)) > 6000, err
        note(stated.group())
        status, out, _ = run('status', '--node', it['replica'].address)
        assert status == 0 and re.search(r'replica of atlas .*what it serves is [\d.]+ s old', out), out
    finally:
        for m in list(up.stopped):
            up.signal(m, signal.SIGCONT)
    until(lambda: it['replica'].list(it['reader'], '--max-age', '10')[0] == 0,
          'it to be fresh again')


def killed(up, folder, it):
    """killed and started again it serves the same, as soon as it has heard a member"""
    r = it['replica']
    before = r.cards(it['reader'])
    r.process.kill()
    assert r.process.wait(60) == -signal.SIGKILL
    assert r.list(it['reader'], timeout=5)[0] != 0, 'nobody serves, and cards were shown'
    r.start()
    until(lambda: r.list(it['reader'], '--max-age', '10')[0] == 0, 'it to serve again')
    assert r.cards(it['reader']) == before


def lapsed(up, folder, it):
    """its own ticket ends and all members refuse it: it grows old, and goes on with the next one"""
    r = it['replica']
    r.bearer.issue(up, '--seconds', '4')
    until(lambda: 'expired' in r.said().get('why', ''), 'all members to refuse it')
    until(lambda: (r.said().get('age_ms') or 0) > 12000, 'it to grow old')
    assert r.list(it['reader'])[0] == 0, 'what is certified is no secret that ends'
    assert r.list(it['reader'], '--max-age', '5', timeout=5)[0] != 0
    note(until(r.said, 'its status')['why'])
    r.bearer.issue(up)
    until(lambda: r.list(it['reader'], '--max-age', '10')[0] == 0, 'it to be fresh again')


def ends(up, folder, it):
    """it ends in order, and has said nothing of a fault"""
    it['replica'].stop()


def args(up, folder):
    return up, folder, {}


play_on_up((served, written, gated, revoked, alone, killed, lapsed, ends), args, gated_file)
