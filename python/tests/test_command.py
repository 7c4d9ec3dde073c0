"""`coalition collection`, `status` and `--trace` against a committee of members in this process: the
program's path is in COALITION."""
import json
import os
import signal
import subprocess
import tempfile
import unittest

from committee import PATIENCE, Committee, surface, until
import mosaik

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get('COALITION', os.path.join(ROOT, 'build/programs/coalition/coalition'))
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != 'LD_PRELOAD'}


def coalition(*words, status=0):
    ran = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
                         env=ENVIRONMENT)
    assert ran.returncode == status, (words, ran.returncode, ran.stdout, ran.stderr)
    return ran.stdout if status == 0 else ran.stderr


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.file = os.path.join(cls.folder.name, 'coalition.toml')
        cls.committee = Committee(cls.folder.name, ids_of=cls.files)

    @classmethod
    def tearDownClass(cls):
        cls.committee.stop()
        cls.folder.cleanup()

    @classmethod
    def files(cls, members):
        """An organism file and a coalition that has it under the role shelf; its ids."""
        peer = members[0].split('@')[0]
        contacts = ', '.join(f'"{m}"' for m in members)
        organism = os.path.join(cls.folder.name, 'shelf.toml')
        with open(organism, 'w', encoding='utf-8') as f:
            f.write(f'schema_version = 1\nkind = "organism"\nname = "example.shelf"\n'
                    f'operator = "{peer}"\ncommittee = [{contacts}]\n[content]\nhex = "01"\n'
                    '[[surface]]\nkind = "stream"\nname = "events"\nlayout = "i64"\n')
        ids = json.loads(coalition('organism', organism, '--json'))
        with open(cls.file, 'w', encoding='utf-8') as f:
            f.write(f'schema_version = 1\ninstance_name = "example"\n'
                    f'retirement_policy = "lenient"\noperator = "{peer}"\npeers = [{contacts}]\n'
                    f'[[organism]]\nrole = "shelf"\nstable_id = "{ids["stable_id"]}"\n'
                    f'config = "shelf.toml"\noperator = "{peer}"\ncommittee = [{contacts}]\n')
        return {'stable_id': ids['stable_id'], 'deployment': ids['organism_id'],
                'content': ids['content_hash']}

    def run_on(self, verb, shape, name, *words, status=0):
        return coalition('collection', verb, self.file, 'shelf', shape, name, *words, status=status)

    def facts(self, verb, shape, name, *words):
        return json.loads(self.run_on(verb, shape, name, *words, '--json'))

    def write(self, shape, name, *words):
        written = self.facts('write', shape, name, *words)
        self.version = written['version']
        return written

    def entries(self, shape, name, *words):
        """As of the last write here, or later: a member may be a moment behind."""
        return self.facts('list', shape, name, '--reaches', str(self.version), *words)['entries']

    def values(self, shape, name, *words):
        return [e['value'] for e in self.entries(shape, name, *words)]

    def gets(self, want, shape, name, *words):
        """In a moment at the latest: an answer is certified, perhaps an earlier one."""
        until(lambda: self.facts_or_none('get', shape, name, *words) == want, want)

    def facts_or_none(self, *words):
        """None: proven absent."""
        ran = subprocess.run([PROGRAM, 'collection', words[0], self.file, 'shelf', *words[1:], '--json'],
                             capture_output=True, text=True, timeout=2 * PATIENCE, check=False, env=ENVIRONMENT)
        self.assertIn(ran.returncode, (0, 1), ran.stderr)
        if ran.returncode == 1:
            self.assertIn('the committee proved it', ran.stderr)
        return json.loads(ran.stdout) if ran.returncode == 0 else None

    def test_map(self):
        self.assertTrue(self.write('map', 'words', 'put', 'a', 'eins', 'b', 'zwei')['changed'])
        self.assertFalse(self.write('map', 'words', 'put', 'a', 'eins')['changed'])
        self.gets({'key': 'a', 'value': 'eins'}, 'map', 'words', 'a')
        self.write('map', 'words', 'exchange', 'a', 'eins', 'one')
        self.assertIn('another value is there', self.run_on('write', 'map', 'words', 'exchange', 'a', 'eins',
                                                    'x', status=1))
        self.write('map', 'words', 'exchange', 'c', '-', 'drei')
        self.write('map', 'words', 'remove', 'b')
        entries = self.entries('map', 'words')
        self.assertEqual({e['key']: e['value'] for e in entries}, {'a': 'one', 'c': 'drei'})
        self.gets(None, 'map', 'words', 'b')
        self.assertTrue(self.write('map', 'words', 'clear')['changed'])

    def test_stream(self):
        """Of a type that the organism's own file declares."""
        self.write('stream', 'events', 'append', '7', '9', '11')
        self.assertEqual(coalition('stream', 'tail', self.file, 'shelf', 'events', '--oldest', '-n', '2'),
                         '1 7\n2 9\n')
        lines = coalition('stream', 'tail', self.file, 'shelf', 'events', '--oldest', '-n', '3', '--json')
        self.assertEqual([json.loads(line) for line in lines.splitlines()],
                         [{'index': i + 1, 'value': v} for i, v in enumerate((7, 9, 11))])
        self.assertIn('stream events           read: admitted', coalition('bind', self.file))

    def test_vec(self):
        self.write('vec', 'jobs', 'push-back', 'b', 'd')
        self.write('vec', 'jobs', 'push-front', 'a')
        self.write('vec', 'jobs', 'insert', '2', 'c')
        self.assertEqual(self.values('vec', 'jobs'), ['a', 'b', 'c', 'd'])
        self.assertEqual(self.facts('get', 'vec', 'jobs', '2', '--reaches', str(self.version)), {'index': 2, 'value': 'c'})
        self.write('vec', 'jobs', 'swap', '0', '3')
        self.write('vec', 'jobs', 'set', '1', 'B')
        self.write('vec', 'jobs', 'pop-front')
        self.write('vec', 'jobs', 'remove-at', '2')
        self.assertEqual(self.values('vec', 'jobs'), ['B', 'c'])
        self.assertIn('the vec has 2 elements', self.run_on('get', 'vec', 'jobs', '2', '--reaches',
                                                           str(self.version), status=1))
        self.write('vec', 'jobs', 'truncate', '1')
        self.write('vec', 'jobs', 'pop-back')
        self.assertFalse(self.write('vec', 'jobs', 'pop-back')['changed'])

    def test_set(self):
        self.write('set', 'names', 'add', 'x', 'y')
        self.assertFalse(self.write('set', 'names', 'add', 'x')['changed'])
        self.gets({'value': 'y'}, 'set', 'names', 'y')
        self.write('set', 'names', 'remove', 'y')
        self.assertEqual(self.values('set', 'names'), ['x'])
        self.gets(None, 'set', 'names', 'y')

    def test_cell_and_once(self):
        self.gets(None, 'cell', 'leader', '--type', 'u64')
        self.write('cell', 'leader', 'write', '7', '--type', 'u64')
        self.write('cell', 'leader', 'exchange', '7', '8', '--type', 'u64')
        self.gets({'value': 8}, 'cell', 'leader', '--type', 'u64')
        self.assertTrue(self.write('once', 'genesis', 'write', 'c0ffee', '--type',
                                   'bytes')['changed'])
        self.assertFalse(self.write('once', 'genesis', 'write', '00', '--type',
                                    'bytes')['changed'])
        self.assertEqual(self.values('once', 'genesis', '--type', 'bytes'), ['c0ffee'])

    def test_queue(self):
        of = ('--key-type', 'u64', '--capacity', '3')
        self.write('queue', 'queue', 'enqueue', '5', '1', 'low', '9', '2', 'high', *of)
        self.write('queue', 'queue', 'reprioritise', '1', '6', *of)
        self.gets({'priority': 6, 'key': 1, 'value': 'low'}, 'queue', 'queue', '1', *of)
        self.assertEqual([(e['priority'], e['key']) for e in
                          self.entries('queue', 'queue', *of)],
                         [(6, 1), (9, 2)])
        self.write('queue', 'queue', 'remove-range', '-', '6', *of)
        self.assertEqual(self.values('queue', 'queue', *of), ['high'])

    def test_watch(self):
        watch = subprocess.Popen(
            [PROGRAM, 'collection', 'watch', self.file, 'shelf', 'stream', 'events'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
        said = watch.communicate(timeout=PATIENCE)[0]
        self.assertEqual(watch.returncode, 2)
        self.assertIn('stream tail', said)
        self.write('set', 'names', 'clear')
        watch = subprocess.Popen(
            [PROGRAM, 'collection', 'watch', self.file, 'shelf', 'set', 'names', '--json'],
            stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        first = json.loads(watch.stdout.readline())
        written = self.write('set', 'names', 'add', 'seen')
        self.assertLess(first['version'], written['version'])
        second = json.loads(watch.stdout.readline())
        while second['version'] < written['version']:  # the clearing may come first
            second = json.loads(watch.stdout.readline())
        self.assertEqual(second, {'version': written['version'], 'entries': [{'value': 'seen'}]})
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(PATIENCE), 0)
        watch.stdout.close()

    def test_trace(self):
        """--trace of any write: by each member, the steps in their order"""
        written = self.write('cell', 'leader', 'write', '99', '--type', 'u64', '--trace')
        self.assertEqual(len(written['trace']), 3)
        self.assertEqual({m['peer'] for m in written['trace']},
                         {m.split('@')[0] for m in self.committee.members})
        self.assertEqual(len([m for m in written['trace'] if m['leads']]), 1)
        have = [m for m in written['trace'] if 'applied' in m['steps']]  # the last may be on its way
        self.assertGreater(len(have), 1, written)
        for member in have:
            steps = member['steps']
            self.assertGreater(member['index'], 0, member)
            self.assertLessEqual(steps['logged'], steps['durable'], member)
            self.assertLessEqual(steps['committed'], steps['applied'], member)
        text = self.run_on('write', 'cell', 'leader', 'write', '100', '--type', 'u64', '--trace')
        self.assertIn('committed', text)
        with mosaik.Agent() as agent:
            bond = self.committee.bind(agent)
            words = mosaik.Map(bond, surface('words'))
            with bond.trace() as course:
                words.insert('traced', 'yes')
            self.assertEqual(len(course.members), 3)
            self.assertGreater(len([m for m in course.members if m['steps'].get('applied')]), 1)

    def test_wrong_words(self):
        for said, *words in (
                ('no shape', 'list', 'heap', 'x'),
                ('no write of a once', 'write', 'once', 'genesis', 'clear'),
                ('do not fit', 'write', 'map', 'words', 'put', 'a'),
                ('is no u64', 'write', 'cell', 'leader', 'write', 'x', '--type', 'u64'),
                ('hex, two digits', 'write', 'once', 'genesis', 'write', 'x', '--type', 'bytes'),
                ('takes a key', 'get', 'map', 'words'),
                ('is no type', 'list', 'map', 'words', '--type', 'text')):
            self.assertIn(said, self.run_on(*words, status=2))

    def test_status(self):
        """what the coalition spans, and how far behind the last member is"""
        def spanned():
            o.update(json.loads(coalition('status', self.file, '--json')))
            return [(s['component'], s['answered'], s['members'], s['why'])
                    for s in o['spanned']] == [('shelf', 3, 3, '')]
        o = {}
        until(spanned, 'all three to answer, and nothing to wait')
        self.assertLessEqual(o['spanned'][0]['lag'], o['spanned'][0]['commit'])
        self.assertEqual(len(o['nodes']), 3)
        until(lambda: 'organism shelf        3 of 3 members answered' in
              coalition('status', self.file), 'all three to answer')


if __name__ == '__main__':
    unittest.main(verbosity=2)
