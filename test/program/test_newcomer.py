#!/usr/bin/env python3
"""What who meets the program for the first time does wrong, and what it says then.

  test_newcomer.py PROGRAM

Every wrong usage and every bad file is status 2 and one line that names the rule and where help
is. Speaks TAP.
"""
import fcntl
import os
import socket
import subprocess
import time

import frame
from frame import ROOT, facts, refused, run, write

SUPERCHAIN = os.path.join(ROOT, 'examples', 'superchain.toml')
FEED = os.path.join(ROOT, 'examples', 'price-feed.toml')
COMMANDS = ('id derive stable-id freeze organism verify diff key deploy tickets up node status bind '
            'atlas stream map handshake replay committee emulator').split()


def usage(folder):
    """wrong usage is one line with the rule and a hint to --help"""
    refused(2, 'a command is missing; `coalition --help`')
    refused(2, 'no command "banana"; `coalition --help`', 'banana')
    for command in COMMANDS:
        hint = f'`coalition {command} --help` tells more'
        refused(2, hint, command, '--no-such-option')
        refused(2, '--no-such-option: there is no such option', command, '--no-such-option', 'x')
        if command not in ('id', 'replay'):
            refused(2, hint, command)
        status, out, lines = run(command, '--help')
        assert (status, lines) == (0, []) and out.startswith('Usage: coalition ' + command), command
    refused(2, 'a check is missing; `coalition check --help`', 'check')
    for what in ('tdx', 'eventlog', 'jwt', 'history'):
        refused(2, f'`coalition check {what} --help` tells more', 'check', what)
    refused(2, '--dir wants a value', 'up', SUPERCHAIN, '--dir')
    refused(2, '--json takes no value', 'freeze', '--json=3', SUPERCHAIN)
    refused(2, '-q', 'freeze', '-q', SUPERCHAIN)
    refused(2, '--timeout: seconds are wanted', 'bind', SUPERCHAIN, '--timeout', 'soon')


def keys(folder):
    """a key file that is not there, no key, or open to others: status 2"""
    key = os.path.join(folder, 'k')
    facts('key', 'new', key)
    none = os.path.join(folder, 'none')
    text = write(folder, 'text', 'hello\n')
    for wrong, part in ((none, 'none: No such file'), (text, 'text: not a key file'), (folder, ': ')):
        refused(2, part, 'key', 'show', wrong)
        refused(2, part, 'deploy', FEED, '--component', 'price-feed.eur', '--key', wrong, '-o', none)
        refused(2, part, 'bind', SUPERCHAIN, '--key', wrong)
        refused(2, part, 'atlas', 'list', SUPERCHAIN, '--key', wrong)
    os.chmod(key, 0o644)
    refused(2, 'k: others may read this key (mode 0644); make it 0600', 'key', 'show', key)
    refused(2, 'make it 0600', 'bind', SUPERCHAIN, '--key', key)
    refused(2, 'none: No such file', 'tickets', 'show', none)
    refused(2, 'none: No such file', 'bind', SUPERCHAIN, '--ticket', none)
    refused(2, 'text: not a ticket: offset 0', 'bind', SUPERCHAIN, '--ticket', text)
    node = write(folder, 'node.toml', 'key = "text"\nlisten = "127.0.0.1:0"\ndir = "state"\n'
                 'components = [{ file = "none", deployment = "none" }]\n')
    refused(2, 'text: not a key file', 'node', node)


def kinds(folder):
    """a file of another kind is told by its kind"""
    refused(2, 'this is a coalition file', 'organism', SUPERCHAIN)
    refused(2, 'this is an organism file', 'freeze', FEED)
    refused(2, 'this is an organism file', 'up', FEED)
    refused(2, 'this is a coalition file', 'up', SUPERCHAIN, '--with', SUPERCHAIN)
    lattice = write(folder, 'l.toml', 'schema_version = 1\nkind = "lattice"\nname = "l"\n')
    refused(2, 'this is a lattice file', 'freeze', lattice)


def maps(folder):
    """an unknown component or map lists those there are, before anybody is asked"""
    local = write(folder, 'local.toml', 'schema_version = 1\ninstance_name = "x"\n[atlas]\n'
                  f'instance = "default"\nacl = []\ncommittee = ["{"05" * 32}@127.0.0.1:1"]\n')
    for verb in ('get', 'list', 'watch'):
        refused(1, 'no map named "card" whose types this build knows; it has: cards',
                'map', verb, local, 'atlas', 'card', '00')
        refused(1, 'no such component in this coalition; it has: atlas',
                'map', verb, local, 'oracle', 'cards', '00')


def deadline(folder):
    """one --timeout is the whole wait, however many nodes are silent"""
    committee = ', '.join(f'"{n:02x}{"05" * 31}@127.0.0.1:{n}"' for n in range(1, 16))
    local = write(folder, 'local.toml', 'schema_version = 1\ninstance_name = "x"\n[atlas]\n'
                  f'instance = "default"\nacl = []\ncommittee = [{committee}]\n')
    begun = time.monotonic()
    status, out, lines = run('status', local, '--timeout', '1')
    assert status == 3 and lines == ['no node answered'] and out.count('node ') == 15, (out, lines)
    assert time.monotonic() - begun < 14, 'they were asked one after another'  # 15 s
    for more in ([], ['--json']):
        status, out, _ = run('bind', local, '--timeout', '300ms', *more)
        assert status == 3 and 'not reachable within 300 ms' in out, (status, out)
    refused(3, 'not reachable within', 'atlas', 'list', local, '--timeout', '300ms')


def output(folder):
    """facts that cannot be written are not said to be done"""
    for command in (['id', 'x'], ['freeze', SUPERCHAIN], ['freeze', SUPERCHAIN, '--json'], ['--help']):
        with open('/dev/full', 'wb') as full:
            p = subprocess.run([frame.PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, timeout=60)
        assert (p.returncode, p.stderr) == (1, b'standard output: No space left on device\n'), (command, p)


def words(folder):
    """a word too many, anchors that differ alone, a directory that is not there: said as they are"""
    refused(2, 'extra: one word too many; FILE', 'freeze', SUPERCHAIN, 'extra')
    refused(2, 'none: No such file or directory', 'replay', os.path.join(folder, 'none'))
    refused(1, 'no node.toml in it', 'replay', folder)
    published = facts('freeze', SUPERCHAIN)['coalition_id']
    status, out, _ = run('verify', SUPERCHAIN, published, '--anchors', published)
    assert status == 1 and out.startswith('fingerprint and members: ok\nanchors: differ\n'), out
    status, out, _ = run('verify', SUPERCHAIN, '11' * 32, '--anchors', published)
    assert status == 1 and out.startswith('fingerprint and members: differ\nanchors: differ\n'), out


def hints(folder):
    """a wrong verb, id or folder is found before anybody is asked, with the hint"""
    none = os.path.join(folder, 'none')
    for command, words in (('atlas', 'list, get or publish'), ('map', 'get, list or watch'),
                           ('stream', 'tail or publish')):
        refused(2, f'no command "foo"; {words} is wanted; `coalition {command} --help`',
                command, 'foo', SUPERCHAIN, 'a', *(['b'] if command != 'atlas' else []))
    atlas = '`coalition atlas --help` tells more'
    refused(2, atlas, 'atlas', 'get', SUPERCHAIN)
    refused(2, atlas, 'atlas', 'get', SUPERCHAIN, 'ab')
    refused(2, atlas, 'atlas', 'publish', SUPERCHAIN, '--member', 'ab', '--key', none)
    refused(2, 'none: No such file', 'atlas', 'publish', SUPERCHAIN, '--member', 'ab' * 20, '--key', none)
    refused(2, '`coalition map --help` tells more', 'map', 'get', SUPERCHAIN, 'atlas', 'cards')
    refused(2, '`coalition stream --help`', 'stream', 'publish')
    refused(2, '`coalition deploy --help`', 'deploy', SUPERCHAIN, '--component', 'x', '--key', none,
            '-o', none)
    refused(2, '`coalition stable-id --help`', 'stable-id', 'a|b')
    assert run('-h') == run('--help') and run('-h')[0] == 0
    refused(2, 'nope: No such file or directory, and it is no JSON', 'check', 'jwt', 'a.b.c', '--key',
            'nope')
    refused(2, 'none/k: No such file', 'key', 'new', os.path.join(none, 'k'))
    refused(2, 'none/d: No such file', 'handshake', SUPERCHAIN, '-o', os.path.join(none, 'd'))


def mistyped(folder):
    """what was likely meant as an id, and is hashed as a text, is warned of"""
    for word, warns in (('ab' * 31, True), ('0x' + 'ab' * 32, True), ('ab' * 31 + 'xy', True),
                        ('ab' * 32, False), ('mainnet', False), ('dead', False)):
        for args in (['derive', word, 's'], ['stable-id', 'n', '--network', word]):
            p = subprocess.run([frame.PROGRAM, *args], capture_output=True, text=True, timeout=60)
            assert p.returncode == 0 and ('is hashed as a text' in p.stderr) == warns, (args, p)
            assert facts(*args)['hashed'] == (None if word == 'ab' * 32 else word), args


def locked(folder):
    """a node whose directory another one has says which directory"""
    key = os.path.join(folder, 'k')
    facts('key', 'new', key)
    node = write(folder, 'node.toml', 'key = "k"\nlisten = "127.0.0.1:0"\ndir = "state"\n'
                 'components = []\n')
    os.mkdir(os.path.join(folder, 'state'))
    held = os.open(os.path.join(folder, 'state'), os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    refused(1, 'state: the directory is in use by another process', 'node', node)
    os.close(held)


def components(folder):
    """what the components of a node file say against each other; a port that is taken"""
    head = 'key = "k"\nlisten = "127.0.0.1:0"\ndir = "state"\ncomponents = [\n'
    for other in ('read_leases = true', 'private = true', 'source = "-"'):
        node = write(folder, 'node.toml', head + f'{{ file = "f", replica = true, {other} }}]\n')
        refused(2, 'node.toml:5:1: replica = true and ' + other.split()[0], 'node', node)
    node = write(folder, 'node.toml', head + '{ file = "f" }, \n{ file = "f" }]\n')
    refused(2, 'node.toml:6:1: "f" is among the components already', 'node', node)
    facts('key', 'new', os.path.join(folder, 'k'))
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = '127.0.0.1:%d' % taken.getsockname()[1]
        node = write(folder, 'node.toml', head.replace('127.0.0.1:0', address) + ']\n')
        refused(1, f'listen: cannot listen on {address}: Address already in use', 'node', node)
        node = write(folder, 'node.toml', f'http = "{address}"\n{head}]\n')
        refused(1, f'http: cannot listen on {address}: Address already in use', 'node', node)


frame.main(usage, keys, kinds, maps, deadline, output, words, hints, mistyped, locked,
           components)
