#!/usr/bin/env python3
"""A committee that requires TDX, as real processes with emulated quotes.

  live_tdx.py PROGRAM

Everything goes through the program's commands: `coalition emulator`, `up --tdx-emulator`, then
the members as `coalition node` of their own, each with an [attest] of the test's choice. Only
processes that this test started are ever signalled. Speaks TAP.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from live_bed import PROGRAM, ROOT, run
from tap import PATIENCE, free_port, play, until

EXAMPLES = os.path.join(ROOT, 'examples')
MEMBERS = ('atlas-1', 'atlas-2', 'atlas-3')
OTHER = '11' * 48  # a measurement that nobody requires


def emulator(folder, *options):
    """Makes or renews one; what it measures."""
    status, out, err = run('emulator', folder, '--json', *options)
    assert status == 0, err
    return json.loads(out)['mr_td']


class Node:
    """`coalition node` on one member's directory."""

    def __init__(self, folder, *more):
        self.log = open(os.path.join(folder, 'test.log'), 'a+', encoding='utf-8')
        self.process = subprocess.Popen(
            [PROGRAM, 'node', os.path.join(folder, 'node.toml'), *more],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        assert status == 0 and 'Sanitizer' not in text, text


class Scene:
    """A coalition whose Atlas requires a measurement of whoever comes, readers too, and whoever
    serves."""

    def __init__(self, folder):
        self.dir = os.path.join(folder, 'state')
        self.emulator = os.path.join(folder, 'emulator')
        self.other = os.path.join(folder, 'other')
        self.file = os.path.join(folder, 'tdx.toml')
        self.local = os.path.join(self.dir, 'local.toml')
        self.attest = os.path.join(self.emulator, 'attest.toml')
        self.nodes = {}
        self.entry = None
        self.mr_td = emulator(self.emulator)
        os.mkdir(os.path.join(self.emulator, 'collateral', 'a-folder'))
        os.mkfifo(os.path.join(self.emulator, 'collateral', 'a-pipe'))  # neither is a document
        self.write_file()

    def write_file(self):
        shutil.copy(os.path.join(EXAMPLES, 'price-feed.toml'), os.path.dirname(self.file))
        with open(os.path.join(EXAMPLES, 'superchain.toml'), encoding='utf-8') as f:
            text = f.read()
        clauses = (f'[{{ require = "tdx", mr_td = "{self.mr_td}" }}, '
                   f'{{ require = "peer-tdx", mr_td = "{self.mr_td}" }}, {{ require = "readers" }}]')
        assert text.count('acl       = []') == 1
        with open(self.file, 'w', encoding='utf-8') as f:
            f.write(text.replace('acl       = []', f'acl       = {clauses}'))

    def lay_out(self):
        """`up` founds it, publishes a card for each entry, and is stopped."""
        p = subprocess.Popen([PROGRAM, 'up', self.file, '--dir', self.dir, '--tdx-emulator',
                              self.emulator, '--json'], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watchdog = threading.Timer(PATIENCE, p.kill)
        watchdog.start()
        try:
            for line in p.stdout:
                if json.loads(line)['event'] == 'ready':
                    self.while_up()
                    p.send_signal(signal.SIGINT)
            err = p.stderr.read()
            assert p.wait(PATIENCE) == 0, err
        finally:
            watchdog.cancel()
            if p.poll() is None:
                p.kill()
            p.stdout.close()
            p.stderr.close()
        assert self.entry is not None, f'it was never ready: {err}'

    def while_up(self):
        status, out, err = run('atlas', 'list', self.local, '--attest', self.attest, '--json')
        assert status == 0, err
        cards = json.loads(out)['cards']
        assert len(cards) == 4, cards
        self.entry = cards[0]['stable_id']

    def config(self, member, attest):
        """Gives a member this [attest]."""
        path = os.path.join(self.dir, member, 'node.toml')
        with open(path, encoding='utf-8') as f:
            text = f.read().split('\n[attest]')[0]
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text + '\n[attest]\n' + attest)

    def under(self, emulator_dir, root=None, collateral=None):
        """An [attest] that shows what one emulator measures, and believes another's root."""
        root = root or self.emulator
        return (f"source = \"emulator\"\nemulator = '{emulator_dir}'\nroot = '{root}/root.pem'\n"
                f"collateral = '{collateral or root}/collateral'\nreload_s = 1\n")

    def start(self, *members):
        for m in members or MEMBERS:
            self.nodes[m] = Node(os.path.join(self.dir, m), '--found')

    def stop(self, *members):
        for m in members or list(self.nodes):
            self.nodes.pop(m).stop()

    def status(self):
        """What each member that answers says, by the end of its address."""
        status, out, _ = run('status', self.local, '--json', '--timeout', '5')
        return [n for n in json.loads(out)['nodes'] if 'error' not in n] if status == 0 else []

    def all(self):
        """The same, once all three answer."""
        return until(lambda: len(said := self.status()) == 3 and said, 'all to answer')

    def leads(self):
        """The nodes, when one leads and says that it waits for nothing."""
        nodes = self.status()
        ok = any(c['state'] == 'leading' and c['why'] == '' for n in nodes for c in n['components'])
        return nodes if ok else None

    def whys(self):
        """Everything that the members say about each other."""
        return ' | '.join(m['detail'] for n in self.status() for c in n['components']
                          for m in c['members'] if m['detail'])

    def publish(self, *options, timeout=30):
        return run('atlas', 'publish', self.local, '--member', self.entry, '--key',
                   os.path.join(self.dir, 'operator.key'), '--hint', 'live:1', '--timeout',
                   str(timeout), *options)


# --- the tests, in their order ------------------------------------------------------------

def emulated_peers_are_admitted(s):
    """Founded, written to, read from: each side showed quotes and judged the other's."""
    s.lay_out()
    for m in MEMBERS:
        s.config(m, s.under(s.emulator))
    s.start()
    until(s.leads, 'a leader')

    def judged():
        nodes = s.status()
        return len(nodes) == 3 and all('pending' not in [p['quote'] for p in
                                                         n['attestation']['peers']]
                                       for n in nodes) and nodes
    for n in until(judged, 'all quotes to be judged'):
        a = n['attestation']
        good = {p['peer']: p for p in a['peers'] if p['quote'] == 'TdxRaTlsBidirectional'}
        assert a['emulated'] and a['root'] == 'NOT INTEL' and a['source'] == 'emulator', a
        assert len(good) >= 2 and all(p['mr_td'] == s.mr_td for p in good.values()), a


def status_shouts(s):
    until(lambda: run('status', s.local)[1].count('QUOTES HERE PROVE NOTHING') == 3, 'all to say so')


def a_bond_costs_one_verification(s):
    """Members that stay linked verify nothing again, though the collateral is read each second."""
    before = {n['peer']: n['attestation']['verifications'] for n in s.all()}
    began = {n['peer']: n['unix_ms'] for n in s.all()}
    until(lambda: all(n['unix_ms'] > began[n['peer']] + 2500 for n in s.all()), 'two readings')
    after = {n['peer']: n['attestation']['verifications'] for n in s.all()}
    assert before == after, (before, after)


def who_shows_nothing_writes_nothing(s):
    status, _, err = s.publish('--attest', s.attest)
    assert status == 0, err
    status, _, err = s.publish()
    assert status != 0 and 'VerifyPeerTdx: this node verifies no quotes' in err, err
    silent = os.path.join(os.path.dirname(s.file), 'silent.toml')
    with open(silent, 'w', encoding='utf-8') as f:
        f.write(f"root = '{s.emulator}/root.pem'\ncollateral = '{s.emulator}/collateral'\n")
    status, _, err = s.publish('--attest', silent)
    assert status != 0 and 'RequireTdx: it shows no quote: this node has no source' in err, err
    status, _, err = run('atlas', 'list', s.local, '--attest', silent)
    assert status != 0 and 'RequireTdx: it shows no quote' in err, err


def an_integrator_sees_what_members_showed(s):
    def bound(*more):  # the feed of the example does not run here: all of the time is waited for it
        status, out, err = run('bind', s.local, '--attest', s.attest, '--timeout', '3', *more)
        assert status in (0, 1, 3), err
        return out

    def admitted():
        coalition = json.loads(bound('--json'))['coalitions'][0]
        atlas = [c for c in coalition['components'] if c['component'] == 'atlas'][0]
        return (all(x['read'] == 'admitted' for x in atlas['surfaces']) and
                any(q['quote'].startswith('Tdx') for q in coalition['quotes']))
    until(admitted, 'the cards and quotes to be seen')
    until(lambda: 'QUOTES HERE PROVE NOTHING' in (out := bound()) and 'quote of ' in out, 'the words')


def a_replica(s, name, attest):
    """A node that is of no committee and serves Atlas; what it says of that, and its address."""
    folder = os.path.join(os.path.dirname(s.file), name)
    os.mkdir(folder, 0o700)
    key = os.path.join(folder, 'node.key')
    status, out, err = run('key', 'new', key)
    assert status == 0, err
    listen = f'127.0.0.1:{free_port()}'
    with open(os.path.join(folder, 'node.toml'), 'w', encoding='utf-8') as f:
        f.write(f'key = "{key}"\nlisten = "{listen}"\ndir = "{folder}/state"\ncomponents = '
                f'[{{ file = "{s.local}", component = "atlas", replica = true }}]\n{attest}')
    s.nodes[name] = Node(folder)
    address = f'{out.strip()}@{listen}'

    def said():
        status, out, _ = run('status', '--node', address, '--json')
        return (json.loads(out)['nodes'][0].get('replicas') or [{}])[0] if status == 0 else {}
    return said, address


def a_replica_judges_its_readers(s):
    """Who shows no quote, and who believes none of the replica's, gets nothing of it; and it gets
    nothing of the members without one of its own."""
    said, address = a_replica(s, 'mirror', '[attest]\n' + s.under(s.emulator))
    until(lambda: said().get('age_ms') is not None, 'the replica to have what is certified')
    silent, intel = (os.path.join(os.path.dirname(s.file), x) for x in ('silent.toml', 'intel.toml'))
    with open(intel, 'w', encoding='utf-8') as f:
        f.write(f"source = \"emulator\"\nemulator = '{s.emulator}'\n")

    def through(*attest):
        return run('atlas', 'list', s.local, '--through', address, '--timeout', '30', '--json',
                   *attest)
    status, out, err = through('--attest', s.attest)
    assert status == 0 and len(json.loads(out)['cards']) == 4, err
    status, _, err = through('--attest', silent)
    assert status != 0 and 'RequireTdx: it shows no quote' in err, err
    until(lambda: said()['refused'] > 0 and 'RequireTdx: it shows no quote' in said()['reason'],
          'the replica to say so')
    status, _, err = through()
    assert status != 0 and 'VerifyPeerTdx: this node verifies no quotes' in err, err
    status, _, err = through('--attest', intel)
    assert status != 0 and 'VerifyPeerTdx' in err, err
    s.stop('mirror')
    said, address = a_replica(s, 'bare', '')
    until(lambda: 'verifies no quotes' in said().get('why', ''), 'it to say why it has nothing')
    assert until(said, 'its status')['age_ms'] is None
    s.stop('bare')


def intels_root_refuses_them(s):
    """A reader, then the committee itself, that believe nobody but Intel."""
    intel = os.path.join(os.path.dirname(s.file), 'intel.toml')
    with open(intel, 'w', encoding='utf-8') as f:
        f.write(f"source = \"emulator\"\nemulator = '{s.emulator}'\n")
    status, _, err = run('atlas', 'list', s.local, '--attest', intel, '--timeout', '30')
    assert status != 0 and 'VerifyPeerTdx' in err, err
    s.stop()
    for m in MEMBERS:
        s.config(m, f"source = \"emulator\"\nemulator = '{s.emulator}'\n")
    s.start()
    until(lambda: 'RequireTdx' in s.whys(), 'a refusal')
    assert s.leads() is None
    assert all(n['attestation']['root'] == 'intel' for n in s.all())
    s.stop()


def another_measurement_is_refused(s):
    """The same authority, another program: the others go on without it."""
    shutil.copytree(s.emulator, s.other, ignore=shutil.ignore_patterns('a-pipe'))
    emulator(s.other, '--mr-td', OTHER)
    for m in MEMBERS:
        s.config(m, s.under(s.emulator))
    s.config('atlas-3', s.under(s.other, root=s.emulator))
    s.start()
    until(s.leads, 'two that agree')
    until(lambda: "RequireTdx: the quote's mr_td is not the one wanted" in s.whys(), 'a refusal')
    status, _, err = s.publish('--attest', s.attest)
    assert status == 0, err
    s.stop('atlas-3')
    s.config('atlas-3', s.under(s.emulator))
    s.start('atlas-3')
    until(lambda: len(s.leads() or []) == 3 and 'RequireTdx' not in s.whys(), 'all three')


def expired_collateral_lets_go(s):
    """Renewed for some seconds only: then nobody is believed, readers neither, until it is
    renewed."""
    began = time.monotonic()
    status, _, err = s.publish('--attest', s.attest)
    assert status == 0 and len(s.all()) == 3, err
    # a reader is to be served before they end
    emulator(s.emulator, '--valid', str(int(10 + 5 * (time.monotonic() - began))))
    reader = subprocess.Popen([PROGRAM, 'map', 'watch', s.local, 'atlas', 'cards', '--attest',
                               s.attest], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: any(c['readers'] > 0 for n in s.status() for c in n['components']),
              'a reader')
        _, err = reader.communicate(timeout=PATIENCE)
        assert reader.returncode != 0 and 'expired' in err, (reader.returncode, err)
    finally:
        if reader.poll() is None:
            reader.kill()
            reader.communicate()
    until(lambda: 'expired' in s.whys(), 'the bonds to end')
    whys = s.whys()
    assert 'RequireTdx' in whys and time.strftime('%Y-%m-', time.gmtime()) in whys, whys
    status, _, err = s.publish('--attest', s.attest, timeout=3)
    assert status != 0, 'a committee of nobody committed'
    emulator(s.emulator)
    until(s.leads, 'a leader again')
    status, _, err = s.publish('--attest', s.attest)
    assert status == 0, err
    s.stop()


TESTS = (emulated_peers_are_admitted, status_shouts, a_bond_costs_one_verification,
         who_shows_nothing_writes_nothing, an_integrator_sees_what_members_showed,
         a_replica_judges_its_readers, intels_root_refuses_them,
         another_measurement_is_refused, expired_collateral_lets_go)


def main():
    with tempfile.TemporaryDirectory(prefix='coalition-tdx-') as folder:
        s = Scene(folder)
        try:  # each needs those before it
            failed = play(TESTS, s, go_on=False)
        finally:
            for node in s.nodes.values():
                if node.process.poll() is None:
                    node.process.kill()
                    node.process.wait()
    sys.exit(failed > 0)


main()
