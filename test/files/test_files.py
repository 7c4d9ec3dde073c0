#!/usr/bin/env python3
"""Files, good and bad, through the program itself.

  test_files.py PROGRAM HEADER

- bad/: each ends with status 2 and exactly the line of expected.txt;
- what must not be in the tree (huge, deep, dotted a million times, cut anywhere) is made here;
- good files, the examples and 50 random ones: `freeze --json` equals tools/derive.py, which
  shares nothing with the C code; --hex is read back; HEADER, compiled from `freeze --c
  good/rich.toml`, prints the same fingerprint.
Speaks TAP.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM, HEADER = map(os.path.abspath, sys.argv[1:3])
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, 'tools'))
RANDOM_FILES = 50


def run(*args, cwd=None):
    p = subprocess.run([PROGRAM, *args], capture_output=True, cwd=cwd, timeout=60)
    lines = [line for line in p.stderr.decode().splitlines() if not line.startswith('warning: ')]
    return p.returncode, p.stdout.decode(), lines


# --- bad files -------------------------------------------------------------------------


def bad_corpus():
    with open(os.path.join(HERE, 'expected.txt'), encoding='utf-8') as f:
        expected = f.read().splitlines()
    names = [n for n in sorted(os.listdir(os.path.join(HERE, 'bad')))]
    assert len(names) == len(expected) >= 60, (len(names), len(expected))
    for name, line in zip(names, expected):
        command, message = line.split(' ', 1)
        status, out, lines = run(command, name, '--json', cwd=os.path.join(HERE, 'bad'))
        assert (status, out, lines) == (2, '', [message]), (name, status, out, lines, message)


HEAD = 'schema_version = 1\ninstance_name = "bad"\n'


def refused(folder, content, part):
    path = os.path.join(folder, 'made.toml')
    with open(path, 'wb') as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    status, out, lines = run('freeze', path, '--json')
    assert status == 2 and out == '' and len(lines) == 1, (status, lines, content[:80])
    assert lines[0].startswith(path + ':') and part in lines[0], (lines, part)


def made_files():
    with tempfile.TemporaryDirectory() as d:
        refused(d, HEAD + '#' * (5 << 20), ':1:1: the file is too big; at most 4 MiB are read')
        refused(d, HEAD + '#' * (17 << 20), ':1:1: the file is larger than 16777216 bytes')
        refused(d, 'ab' * (9 << 20), ':1:1: the file is larger than 16777216 bytes')
        refused(d, HEAD + 'a' + '.a' * 1000000 + ' = 1\n', ':3:34: too many dots on a line')
        refused(d, HEAD + '[a' + '.a' * 1000000 + ']\n', ':3:35: too many dots on a line')
        refused(d, HEAD + 'a = ' + '[' * 1000000, ':3:21: nested too deeply')
        refused(d, HEAD + 'a = ' + '{b=' * 300000, ':3:53: nested too deeply')
        refused(d, HEAD + ''.join('a = [{' + 'b.' * 8 + 'c = [\n' for _ in range(100000)),
                ': nested too deeply')
        refused(d, HEAD + 'a = "' + 'x' * 3000000, ':3:3000006: not valid TOML')
        refused(d, HEAD + '\n'.join('k%d = 1' % i for i in range(100000)), ':3:1: unknown key')
        refused(d, HEAD + 'a = """\n' + '.' * 1000000 + '[' * 1000000 + '\n"""\n',
                ':3:1: unknown key')  # dots and brackets in a text are text


def cut_files():
    with open(os.path.join(HERE, 'good', 'rich.toml'), 'rb') as f:
        whole = f.read()
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'cut.toml')
        for _ in range(150):
            n = chance.randrange(len(whole))
            damaged = bytearray(whole[:n] if chance.random() < 0.5 else whole)
            if len(damaged) == len(whole):
                damaged[n] = chance.randrange(256)
            with open(path, 'wb') as f:
                f.write(damaged)
            status, _, lines = run('freeze', path, '--json')
            assert status in (0, 2) and len(lines) == (1 if status else 0), (n, status, lines)


# --- good files ---------------------------------------------------------------------------


def same(path, command='freeze'):
    import derive
    status, out, lines = run(command, path, '--json')
    assert status == 0, (path, lines)
    ours, theirs = json.loads(out), derive.derive_file(path)
    assert ours == theirs, [(k, ours.get(k), theirs.get(k)) for k in theirs
                            if ours.get(k) != theirs.get(k)]
    return ours


def good_files():
    same(os.path.join(ROOT, 'examples', 'superchain.toml'))
    same(os.path.join(ROOT, 'examples', 'price-feed.toml'), 'organism')
    same(os.path.join(HERE, 'good', 'feed.toml'), 'organism')
    same(os.path.join(HERE, 'good', 'composite.toml'), 'organism')
    same(os.path.join(HERE, 'good', 'rich.toml'))


def serialised():
    rich = os.path.join(HERE, 'good', 'rich.toml')
    _, digits, _ = run('freeze', rich, '--hex')
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'rich.hex')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(digits)
        back = json.loads(run('freeze', path, '--json')[1])
        again = run('freeze', path, '--hex')[1]
    ours = json.loads(run('freeze', rich, '--json')[1])
    assert back['anchors_digest'] is None
    back['anchors_digest'] = ours['anchors_digest']
    assert back == ours and again == digits


def compiled_header():
    printed = subprocess.run([HEADER], capture_output=True, check=True).stdout.decode().strip()
    assert printed == same(os.path.join(HERE, 'good', 'rich.toml'))['coalition_id'], printed


def explained():
    """Every preimage that --explain prints gives the id beside it."""
    import derive
    _, out, _ = run('freeze', os.path.join(HERE, 'good', 'rich.toml'), '--explain')
    lines = out.splitlines()
    assert len(lines) % 3 == 0 and len(lines) > 60
    for i in range(0, len(lines), 3):
        preimage = bytes.fromhex(lines[i + 1].strip()[2:-1])
        assert derive.H(preimage).hex() == lines[i + 2].split()[1], lines[i]


# --- random files ---------------------------------------------------------------------------


class Maker:
    """A random coalition file that the rules allow."""

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def maybe(self, line, p=0.5):
        return line() if self.chance.random() < p else ''

    def hex(self, n=32):
        digits = self.chance.randbytes(n).hex()
        return json.dumps(digits.upper() if self.chance.random() < 0.2 else digits)

    def name(self):
        letters = 'abcxyz-._ 0129/:ABCαβγжщ漢"\\'
        return json.dumps(''.join(self.chance.choices(letters, k=self.chance.randint(1, 24))),
                          ensure_ascii=False)

    def number(self, low, high):
        return self.chance.randint(low, self.chance.choice((low + 200, high)))

    def contact(self):
        return json.dumps(self.chance.randbytes(32).hex() + '@node.example:7700')

    def committee(self):
        return 'committee = [%s]\n' % ', '.join(self.contact()
                                                for _ in range(self.chance.randint(1, 15)))

    def measurements(self):
        registers = ('mr_config_id', 'mr_owner', 'mr_owner_config', 'rtmr0', 'rtmr1', 'rtmr2',
                     'rtmr3')
        out = 'mr_td = ' + self.hex(48)
        for register in registers:
            out += self.maybe(lambda r=register: ', %s = %s' % (r, self.hex(48)), 0.3)
        return out

    def hexes(self):
        return '[%s]' % ', '.join(self.hex() for _ in range(self.chance.randint(1, 5)))

    def jwt(self):
        algorithm, n = self.chance.choice((('ES256', 33), ('ES256K', 33), ('ES384', 49),
                                           ('ES512', 67), ('EdDSA', 32)))
        key = self.chance.randbytes(n) if n == 32 else b'\3' + self.chance.randbytes(n - 1)
        return ('require = "jwt", issuer = %s, algorithm = "%s", key = "%s"'
                % (self.name(), algorithm, key.hex()))

    def clause(self, own):
        kinds = [
            lambda: 'require = "issuer", root = ' + self.hex() +
                    self.maybe(lambda: ', operator = ' + self.hex(), 0.3),
            lambda: 'require = "tdx", ' + self.measurements(),
            lambda: 'require = "peer-tdx", ' + self.measurements(),
            lambda: 'require = "tdx-in", set = [{ %s }, { %s }]' % (self.measurements(),
                                                                   self.measurements()),
            self.jwt,
            lambda: 'require = "reputation", organism = %s, floor = %s'
                    % (self.hex(), self.chance.choice(('0.55', '1.0', '0', '0.0001', '0.9999'))),
            lambda: 'require = "settlement", organism = ' + self.hex(),
            lambda: 'require = "compute-module", module = ' + self.hex(),
            lambda: 'require = "requester-acl", module = ' + self.hex(),
            lambda: 'require = "attestation", level = %d' % self.chance.randint(0, 4),
            lambda: 'require = "peers", peers = ' + self.hexes(),
            lambda: 'require = "readers"',
            lambda: 'require = "any-issuer", roots = ' + self.hexes(),
        ] + [lambda w=w: 'require = "%s"' % w for w in own]
        return '{ %s }' % self.chance.choice(kinds)()

    def acl(self, own=('own-issuer', 'own-compute', 'own-requesters')):
        return 'acl = [%s]\n' % ', '.join(self.clause(own)
                                          for _ in range(self.chance.randint(0, 4)))

    def component(self):
        return (self.maybe(self.committee) + self.maybe(lambda: 'stance = %s\n' % self.hex(), 0.3) +
                self.maybe(lambda: 'description = %s\n' % self.name(), 0.3))

    def almanac(self):
        return (self.maybe(lambda: 'cadence_ms = %d\n' % self.number(10, 3600000)) +
                self.maybe(lambda: 'first_seq = %d\n' % self.number(0, 2**63 - 1)))

    def chronicle(self):
        anchor = self.chance.choice(('none', 'file', 'evm:8453:0x' + 'ab' * 20))
        return (self.maybe(lambda: 'schema = %d\n' % self.number(1, 65535)) +
                self.maybe(lambda: 'anchor = "%s"\n' % anchor) +
                self.maybe(lambda: 'anchor_every = %d\n' % self.number(1, 2**32 - 1)) +
                self.maybe(lambda: 'continues = { module = %s, size = %d, root = %s, digest = %s }\n'
                           % (self.hex(), self.number(1, 2**40), self.hex(), self.hex())))

    def compute(self):
        floor = lambda: ('provider_reputation = %s\nreputation_floor = %s\n' % (
            self.hex(), self.chance.choice(('0.25', '0.7', '1'))))
        return (self.maybe(lambda: self.chance.choice((
                    'clock = "millis"\n', 'clock = { almanac = %s, cadence_ms = 500 }\n'
                    % self.hex()))) + self.maybe(floor) +
                self.maybe(lambda: 'card_max_age = %d\n' % self.number(0, 2**60)) +
                self.maybe(lambda: 'clearing = "%s"\n' % self.chance.choice(
                    ('lowest-rate', 'first-fit', 'reputation-weighted'))))

    def randomness(self):
        out = (self.maybe(lambda: 'period_ms = %d\n' % self.number(1, 2**32 - 1)) +
               self.maybe(lambda: 'first_round = %d\n' % self.number(0, 2**63 - 1)))
        for _ in range(self.chance.randint(0, 3)):
            scheme, n = self.chance.choice((('vrf', 32), ('threshold-bls', 150), ('external', 99)))
            out += ('\n[[randomness.sources]]\nscheme = "%s"\nprovider = %s\nparams = %s\n'
                    % (scheme, self.hex(20), self.hex(n)))
        return out

    def coalition(self):
        out = 'schema_version = 1\ninstance_name = %s\n' % self.name()
        out += self.maybe(lambda: 'retirement_policy = "%s"\n'
                          % self.chance.choice(('lenient', 'conservative')))
        out += self.maybe(lambda: 'operator = %s\n' % self.hex())
        out += self.maybe(lambda: 'peers = [%s]\n' % self.contact())
        tables = []
        for _ in range(self.chance.randint(0, 8)):
            tables.append('\n[[lattice]]\nname = %s\nstable_id = %s\n' % (self.name(), self.hex()) +
                          self.maybe(lambda: 'content_hash = %s\n' % self.hex()))
        for _ in range(self.chance.randint(0, 8)):
            tables.append('\n[[organism]]\nrole = %s\nstable_id = %s\n' % (self.name(), self.hex())
                          + self.maybe(lambda: 'content_hash = %s\n' % self.hex()))
        for kind in ('atlas', 'almanac', 'chronicle', 'compute', 'randomness'):
            if self.chance.random() < 0.6:
                parameters = getattr(self, kind, lambda: '')()
                tables.append('\n[%s]\ninstance = %s\n' % (kind, self.name()) + self.acl() +
                              self.component() + parameters)
        if self.chance.random() < 0.6:
            tables.append('\n[ticket_issuer]\nname = %s\n' % self.name() +
                          self.acl(('own-compute', 'own-requesters')) + self.maybe(self.committee))
        self.chance.shuffle(tables)
        return out + ''.join(tables)


def random_files():
    with tempfile.TemporaryDirectory() as d:
        for seed in range(RANDOM_FILES):
            path = os.path.join(d, '%d.toml' % seed)
            with open(path, 'w', encoding='utf-8') as f:
                f.write(Maker(seed).coalition())
            same(path)


# --- verify and diff --------------------------------------------------------------------------


def verified(folder, *args):
    status, out, lines = run('verify', *args, '--json', cwd=folder)
    assert lines == [], lines
    return status, json.loads(out)


def verify_command():
    rich = os.path.join(HERE, 'good', 'rich.toml')
    ours = json.loads(run('freeze', rich, '--json')[1])
    fingerprint, anchors = ours['coalition_id'], ours['anchors_digest']
    other = 'ab' * 32
    with tempfile.TemporaryDirectory() as d:
        def member(path, **fields):
            with open(os.path.join(d, path), 'w', encoding='utf-8') as f:
                json.dump(fields, f)
            return path

        with open(os.path.join(d, 'rich.hex'), 'w', encoding='utf-8') as f:
            f.write(run('freeze', rich, '--hex')[1])
        assert verified(d, rich, fingerprint) == (0, {
            'ok': True, 'anchors': 'unchecked', 'differences': []})
        assert verified(d, rich, fingerprint.upper(), '--anchors', anchors)[1]['anchors'] == 'ok'
        assert verified(d, 'rich.hex', fingerprint, '--anchors', other)[1] == {
            'ok': True, 'anchors': 'unchecked', 'differences': []}
        assert verified(d, rich, other) == (1, {'ok': False, 'anchors': 'unchecked', 'differences': [
            {'path': 'coalition_id', 'published': other, 'computed': fingerprint}]})
        status, got = verified(d, rich, fingerprint, '--anchors', other)
        assert status == 1 and got['anchors'] == 'differ' and got['differences'] == [
            {'path': 'anchors_digest', 'published': other, 'computed': anchors}]
        # members: by stable id, a lattice also by name; a pin is compared, nothing else
        lattice, oracle = ours['lattices'][1], ours['organisms'][1]
        good = [member('a.json', kind='lattice', name='x', stable_id=lattice['stable_id']),
                member('b.json', stable_id=oracle['stable_id'],
                       content_hash=oracle['content_hash']),
                os.path.join(HERE, 'good', 'feed.toml')]
        assert verified(d, rich, fingerprint, '--member', *good)[0] == 0
        # what the program itself writes for a member's operator
        assert run('handshake', os.path.join(HERE, 'good', 'feed.toml'), '-o', d)[0] == 0
        assert verified(d, rich, fingerprint, '--member', 'price-feed.eur.json')[0] == 0
        bad = [member('c.json', kind='lattice', name=lattice['name'], stable_id=other),
               member('d.json', stable_id=oracle['stable_id'], content_hash=other),
               member('e.json', stable_id=other)]
        status, got = verified(d, rich, fingerprint, '--member', bad[0], '--member', *bad[1:])
        assert status == 1 and got['differences'] == [
            {'path': 'lattices[1].stable_id', 'published': other,
             'computed': lattice['stable_id']},
            {'path': 'organisms[1].content_hash', 'published': other,
             'computed': oracle['content_hash']},
            {'path': 'member e.json', 'published': other, 'computed': None}], got
        member('f.json', stable_id='0x12')
        assert run('verify', rich, fingerprint, '--member', 'f.json', cwd=d)[0] == 2
        assert run('verify', rich, fingerprint[:-1])[0] == 2


EDITS = [  # what is replaced, by what; the rotation, does the fingerprint change, republish
    ('"lenient"', '"conservative"', 'policy-changed', False, 'no'),
    ('ops@rich', 'desk@rich', 'links-changed', False, 'no'),
    ('"default"\nperiod_ms', '"second"\nperiod_ms', 'module-changed', True, 'required'),
    ('cadence_ms = 250', 'cadence_ms = 500', 'module-changed', True, 'required'),
    ('level = 1', 'level = 2', 'ticket-issuer-rotated', True, 'required'),
    ('"base.mainnet"', '"base.renamed"', 'label-changed', False, 'no'),
    ('"53F3', '"54F3', 'member-retired', True, 'required'),
    ('[[lattice]]\nname          = "base', '[[lattice]]\nname = "new"\nstable_id = "%s"\n\n'
     '[[lattice]]\nname          = "base' % ('cd' * 32), 'member-added', True, 'required'),
    ('instance_name     = "rich', 'instance_name     = "richer', 'coalition-renamed', True,
     'required'),
    ('@t.example', '@u.example', None, False, 'no'),
    ('role          = "oracle"\nstable_id     = "3f', 'role          = "prices"\nstable_id     = '
     '"3f', 'role-changed', True, 'required'),
]


def diff_command():
    import derive
    with open(os.path.join(HERE, 'good', 'rich.toml'), encoding='utf-8') as f:
        rich = f.read()
    with tempfile.TemporaryDirectory() as d:
        os.symlink(os.path.join(HERE, 'good', 'feed.toml'), os.path.join(d, 'feed.toml'))

        def write(name, content):
            with open(os.path.join(d, name), 'w', encoding='utf-8') as f:
                f.write(content)
        write('old.toml', rich)
        for old, new, kind, folded, republish in EDITS:
            assert rich.count(old) == 1, (old, rich.count(old))
            write('new.toml', rich.replace(old, new))
            status, out, lines = run('diff', 'old.toml', 'new.toml', '--json', cwd=d)
            got = json.loads(out)
            kinds = {r['kind'] for r in got['rotations']}
            assert status == 0 and lines == [] and kinds >= ({kind} - {None}), (new, kinds)
            assert (got['fingerprint_changes'], got['republish']) == (folded, republish), (new, got)
            before = derive.derive_file(os.path.join(d, 'old.toml'))
            after = derive.derive_file(os.path.join(d, 'new.toml'))
            moves = {m['id']: (m['old'], m['new']) for m in got['moves']}
            assert ('coalition_id' in moves) == (before['coalition_id'] != after['coalition_id'])
            for module in before['modules']:
                for key in ('module_id', 'module_root', 'module_fp', 'committee'):
                    a, b = before['modules'][module][key], after['modules'][module][key]
                    assert moves.get('%s.%s' % (module, key)) == (None if a == b else (a, b))
            assert bool(got['steps']) == folded
            if folded:
                tickets = [i for i, s in enumerate(got['steps']) if 're-issue every ticket' in s]
                cutover = [i for i, s in enumerate(got['steps']) if 'retire the old' in s]
                assert tickets < cutover and tickets, got['steps']
        # a member's content: the policy decides
        with open(os.path.join(HERE, 'good', 'feed.toml'), encoding='utf-8') as f:
            feed = f.read()
        write('feed2.toml', feed.replace('scale = 5', 'scale = 6'))
        for policy, republish in (('lenient', 'optional'), ('conservative', 'required')):
            other = rich.replace('"lenient"', '"%s"' % policy)
            write('new.toml', other.replace('"feed.toml"', '"feed2.toml"'))
            got = json.loads(run('diff', 'old.toml', 'new.toml', '--json', cwd=d)[1])
            assert (got['fingerprint_changes'], got['republish']) == (False, republish), got
            assert 'member-content-changed' in [r['kind'] for r in got['rotations']]


CASES = [bad_corpus, made_files, cut_files, good_files, serialised, compiled_header, explained,
         random_files, verify_command, diff_command]


def main():
    failed = 0
    print('1..%d' % len(CASES))
    for i, case in enumerate(CASES, 1):
        try:
            case()
            print('ok %d - %s' % (i, case.__name__), flush=True)
        except Exception as e:  # a mistake of the test is a failure too, and the rest still runs
            failed = 1
            print('not ok %d - %s\n# %r' % (i, case.__name__, str(e)[:2000]), flush=True)
    return failed


if sys.version_info < (3, 11):
    print('1..0 # SKIP tomllib needs Python 3.11')
    sys.exit(0)
sys.exit(main())
