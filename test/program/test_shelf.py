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

from frame import ROOT, facts, free_port, main, write

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


def wrong(folder):
    """wrong use and bad files are 2 and say why"""
    for words in ((), ('get',), ('serve', 'x', '--now'), ('set', 'f', 'a', '1')):
        status, said = shelf(folder, *words)
        assert status == 2 and said.startswith('usage:'), (words, said)
    status, said = shelf(folder, 'get', 'none.toml', 'a')
    assert (status, said) == (2, 'shelf: none.toml: No such file or directory\n'), said
    status, said = shelf(folder, 'get', os.path.join(ROOT, 'examples/shelf.toml'), 'a')
    assert status == 2 and "shelf.toml:6:19: bad item of committee" in said, said


main(many, refused, wrong)
