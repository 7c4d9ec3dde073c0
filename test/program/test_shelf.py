#!/usr/bin/env python3
"""examples/shelf.c beyond its page (docs/embedding.md): many writers, refusals, wrong use.

  test_shelf.py PROGRAM SHELF

Speaks TAP.
"""
import contextlib
import os
import re
import subprocess
import sys

from frame import ROOT, facts, free_port, main, refused as refuses, run, write

SHELF = os.path.abspath(sys.argv[2])
ACL = 'acl = [{ require = "peers", peers = ["%s"] }]\n\n[[surface]]' % ('5a' * 32)


def shelf(folder, *words):
    p = subprocess.run([SHELF, *words], cwd=folder, capture_output=True, text=True, timeout=60)
    assert 'Sanitizer' not in p.stderr, p.stderr
    return p.returncode, p.stdout + p.stderr


@contextlib.contextmanager
def serving(folder, change=lambda text: text):
    """One member of the sample files, on a port of its own."""
    peer = facts('key', 'new', os.path.join(folder, 'shelf-1.key'))['peer']
    port = str(free_port())
    for name in 'shelf.toml', 'shelf-1.toml':
        with open(os.path.join(ROOT, 'examples', name), encoding='utf-8') as f:
            text = f.read().replace('PEER-1@', peer + '@').replace('7810', port)
        write(folder, name, change(text))
    p = subprocess.Popen([SHELF, 'serve', 'shelf-1.toml', '--found'], cwd=folder,
                         stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        p.terminate()
        said = p.communicate(timeout=60)[1]
        assert p.returncode == 0 and 'Sanitizer' not in said, said


def many(folder):
    """of writers at once none loses what another one wrote"""
    with serving(folder):
        adders = [subprocess.Popen([SHELF, 'add', 'shelf.toml', 'pears', '1'], cwd=folder,
                                   stdout=subprocess.PIPE, text=True) for _ in range(12)]
        said = sorted(int(a.communicate(timeout=60)[0].split()[1].rstrip(',')) for a in adders)
        assert said == list(range(1, 13)), said
        assert shelf(folder, 'get', 'shelf.toml', 'pears') == (0, 'pears 12\n')
        assert shelf(folder, 'set', 'shelf.toml', 'pears', '12', '-') == (
            0, 'pears removed, version 13\n')


def refused(folder):
    """who the ACL of the file does not name writes nothing, and learns which clause"""
    with serving(folder, lambda text: text.replace('[[surface]]', ACL)):
        assert shelf(folder, 'get', 'shelf.toml', 'pears')[0] == 1  # reading is open
        status, said = shelf(folder, 'set', 'shelf.toml', 'pears', '-', '1')
        assert status == 1 and re.search(r'clause 0|peer', said), said


def orchard(folder, config, name='example.shelf'):
    """A coalition file with that organism file in a role."""
    return write(folder, 'of-' + config, f"""schema_version = 1
instance_name  = "example.orchard"

[[organism]]
role      = "shelf"
stable_id = "{facts('stable-id', name)['stable_id']}"
config    = "{config}"
""")


def change_file(folder, name, *changes):
    """shelf.toml under another name."""
    with open(os.path.join(folder, 'shelf.toml'), encoding='utf-8') as f:
        text = f.read()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    write(folder, name, text)


def surfaces_are_shown(folder):
    """bind shows the surfaces that an organism's file declares, and says what it cannot read"""
    more = '''

[[surface]]
kind   = "vec"
name   = "crates"
layout = "Crate{kilos:u64,of:str}"
'''
    with serving(folder):
        assert shelf(folder, 'add', 'shelf.toml', 'pears', '2')[0] == 0
        file = orchard(folder, 'shelf.toml')
        bound = facts('bind', file)['coalitions'][0]['components'][0]
        assert bound['state'] == 'ready' and bound['text'] == '', bound
        [stock] = bound['surfaces']
        assert (stock['kind'], stock['name'], stock['read']) == ('map', 'stock', 'admitted'), stock
        assert stock['retention']['oldest'] == 1, stock
        # with its file, the types need not be said
        assert run('collection', 'get', file, 'shelf', 'map', 'stock', 'pears')[1] == '"pears" 2\n'
        change_file(folder, 'more.toml', ('layout = "str>u64"', 'layout = "str>u64"' + more))
        status, said, _ = run('bind', orchard(folder, 'more.toml'))
        assert status == 0 and 'crates           read: not tried: its types, Crate{kilos' in said, said


def absence_is_proven(folder):
    """a surface that is not there is no proof that a key is not"""
    with serving(folder):
        file = orchard(folder, 'shelf.toml')
        get = 'collection', 'get', file, 'shelf', 'map'
        refuses(1, 'pears: not there, and the committee proved it', *get, 'stock', 'pears')
        refuses(1, 'is not one of this component', *get, 'shelves', 'pears')


def what_runs_there(folder):
    """another deployment than the file's is told at once, with the one that runs"""
    with serving(folder):
        change_file(folder, 'other.toml', ('example.shelf"', 'example.other"'))
        change_file(folder, 'next.toml', ('[[surface]]', ACL))
        organism = re.search(r'deployment"\s*:\s*"([0-9a-f]{16})', run(
            'status', orchard(folder, 'shelf.toml'), '--json')[1])[1]
        other = orchard(folder, 'other.toml', 'example.other')
        after = orchard(folder, 'next.toml')
        for file, why in (other, 'nor another one of this component'), (after, organism + ' is'):
            bound = facts('bind', file, '--timeout', '50', status=3)
            bound = bound['coalitions'][0]['components'][0]
            assert bound['text'].startswith('shelf: not run by any member that can be'), bound
            assert bound['text'].endswith(why), (bound, why)
            refuses(3, why, 'collection', 'list', file, 'shelf', 'map', 'stock')
        for file, why in (other, 'and none runs it'), (after, 'file\'s: ' + organism):
            status, said, complained = run('status', file)
            assert (status, why in said) == (1, True), (status, said)
            assert complained == [f'no node that answered runs a component of {file}'], complained
            assert facts('status', file, status=1)['spanned'][0]['answered'] == 0


def wrong(folder):
    """wrong use and bad files are 2 and say why"""
    for words in ((), ('get',), ('serve', 'x', '--now'), ('set', 'f', 'a', '1')):
        status, said = shelf(folder, *words)
        assert status == 2 and said.startswith('usage:'), (words, said)
    status, said = shelf(folder, 'get', 'none.toml', 'a')
    assert (status, said) == (2, 'shelf: none.toml: No such file or directory\n'), said
    status, said = shelf(folder, 'get', os.path.join(ROOT, 'examples/shelf.toml'), 'a')
    assert status == 2 and "shelf.toml:6:19: bad item of committee" in said, said


main(many, refused, surfaces_are_shown, absence_is_proven, what_runs_there, wrong)
