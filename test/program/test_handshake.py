#!/usr/bin/env python3
"""handshake: what an operator publishes, held against the checklists.

  test_handshake.py PROGRAM

Ids on the page and in the JSON are those of `freeze` and `organism`; every fact that the
checklists demand is missed when it is taken out of a complete file. Speaks TAP.
"""
import html.parser
import json
import os
import re

import frame
from frame import HERE, ROOT, facts, refused, run, write

COMPLETE = os.path.join(HERE, 'complete.toml')
FEED = os.path.join(ROOT, 'test', 'files', 'good', 'feed.toml')


class Page(html.parser.HTMLParser):
    """The page's text, its tags and its links."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.links, self.words, self.rows = [], [], [], [], []
        with open(path, encoding='utf-8') as f:
            self.feed(f.read())
        assert not self.open, self.open
        self.text = ''.join(self.words)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ('href', 'src')]
        assert not [k for k, _ in attrs if k.startswith('on')], attrs
        if tag not in ('meta', 'br', 'link'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)


def handshake(path, folder, *more, status=0):
    """(missing, the JSON file, the page)"""
    said = facts('handshake', path, '-o', folder, *more, status=status)
    assert sorted(said) == ['files', 'missing'] and len(said['files']) == 2
    page, text = said['files']
    assert page.endswith('.html') and text.endswith('.json')
    with open(text, encoding='utf-8') as f:
        got = json.load(f)
    assert got['missing'] == said['missing']
    return said['missing'], got, Page(page)


def complete_text():
    with open(COMPLETE, encoding='utf-8') as f:
        return f.read().replace('../files/good/feed.toml', FEED)


def complete(folder):
    """a complete file passes --strict; ids are those of freeze; the page says all of them"""
    missing, got, page = handshake(COMPLETE, folder, '--strict')
    frozen = facts('freeze', COMPLETE)
    assert missing == []
    assert got['coalition_id'] == frozen['coalition_id']
    assert got['anchors_digest'] == frozen['anchors_digest']
    assert got['config_hex'] == frozen['hex'] and run('freeze', COMPLETE, '--c')[1] == got['config_c']
    for ours, theirs in zip(got['lattices'] + got['organisms'],
                            frozen['lattices'] + frozen['organisms'], strict=True):
        assert (ours['stable_id'], ours['member_id']) == (theirs['stable_id'], theirs['member_id'])
        assert ours['handshake'].startswith('https://') and ours['handshake'] in page.links
    for m in got['modules']:
        theirs = frozen['modules'][m['kind']]
        for key in ('module_fp', 'module_root', 'module_id', 'content_hash', 'instance'):
            assert m[key] == theirs[key] and m[key] in page.text
        assert {s['name']: s['surface_id'] for s in m['surfaces']} == theirs['surfaces']
        assert len(m['committee']) == 3 and m['description'] in page.text
    assert got['ticket_issuer']['root'] == frozen['tickets_root']
    for text in ('hint.superchain.example:7700', 'superchain.example/changes', frozen['coalition_id'],
                 frozen['anchors_digest'], frozen['tickets_root'], 'a week of routes'):
        assert text in page.text, text
    assert 'not stated' not in page.text
    chronicle = got['modules'][2]
    assert chronicle['kind'] == 'chronicle' and chronicle['external_anchor'] is False


def roll_call(folder):
    """the roll call names every operator with each of its roles"""
    got = handshake(COMPLETE, folder)[1]
    roll = {o['operator']: o['roles'] for o in got['operators']}
    assert roll['01' * 32] == ['coalition', 'module atlas', 'module almanac', 'module chronicle',
                               'module compute', 'module randomness', 'ticket issuer']
    assert roll['20' * 32] == ['lattice ethereum.mainnet']
    assert roll['43' * 32] == ['organism router'] and len(roll) == 6
    named = [o['name'] for o in got['operators'] if 'name' in o]
    assert 'Feeds and Sons' in named and 'base.mainnet operators' in named


def taken_away(folder):
    """each demanded fact is missed by its place, and only it, and fails --strict"""
    text = complete_text()
    cases = [('change_channel', 'publish.change_channel'), ('peers ', 'peers'),
             ('ticket_root   = "31', 'lattice[1].ticket_root'),
             ('operator      = "22', 'lattice[2].operator'),
             ('handshake     = "https://ethereum', 'lattice[0].handshake'),
             ('handshake      = "https://feeds', 'organism[0].handshake'),
             ('failure_policy = "stalls for one', 'organism[1].failure_policy'),
             ('operator       = "43', 'organism[1].operator'),
             ('description    = "the directory', 'atlas.description'),
             ('state_machine  = "one tick', 'almanac.state_machine'),
             ('committee      = ["7c', 'randomness.committee'),
             ('committee = ["90', 'ticket_issuer.committee')]
    for start, place in cases:
        lines = [s for s in text.splitlines() if not s.startswith(start)]
        assert len(lines) == len(text.splitlines()) - 1, start
        path = write(folder, 'less.toml', '\n'.join(lines))
        missing, _, page = handshake(path, folder)
        assert missing == [place], (start, missing)
        assert 'not stated' in page.text and place in page.text
        assert handshake(path, folder, '--strict', status=1)[0] == [place]
    got, _, lines = run('handshake', path, '-o', folder, '--strict')
    assert got == 1 and lines[0].endswith(f'not stated, first {place}'), lines


def not_shipped(folder):
    """what is not shipped is said to be so; a bare file and a serialised one are all gaps"""
    bare = write(folder, 'bare.toml', 'schema_version = 1\ninstance_name = "bare"\n')
    missing, got, page = handshake(bare, folder)
    assert missing == ['operator', 'publish.change_channel', 'peers']
    assert [(m['kind'], m['shipped']) for m in got['modules']] == [
        (k, False) for k in ('atlas', 'almanac', 'chronicle', 'compute', 'randomness')]
    assert page.text.count('not shipped') == 6 and got['ticket_issuer'] == {'shipped': False}
    serial = write(folder, 'serial', run('freeze', COMPLETE, '--hex')[1])
    missing, got, _ = handshake(serial, folder)
    assert got['coalition_id'] == facts('freeze', COMPLETE)['coalition_id']
    assert 'lattice[2].handshake' in missing and 'anchors_digest' not in got


def strangers_text(folder):
    """what a file says is escaped, and only http and https become links"""
    evil = '</title><script>alert(1)</script>&amp;'
    path = write(folder, 'evil.toml', f'''schema_version = 1
instance_name = '{evil}'
[[lattice]]
name = "a\\"><img src=x onerror=alert(1)>"
stable_id = "{'01' * 32}"
handshake = "javascript:alert(1)"
description = "https://x.example/' onclick='alert(1)"
[publish]
change_channel = "https://a.example/?q=1&r=2"
''')
    _, got, page = handshake(path, folder)
    assert got['name'] == evil and evil in page.text
    assert 'script' not in page.tags and 'img' not in page.tags
    names = [n for n in os.listdir(folder) if n.endswith('.html')]
    assert len(names) == 1 and re.fullmatch(r'[-a-z0-9_.]+', names[0]), names
    assert set(page.links) == {'https://a.example/?q=1&r=2', names[0][:-5] + '.json'}, page.links


def same_bytes(folder):
    """the same file gives the same bytes, in a folder that is made"""
    kept = []
    for name in ('a', 'b'):
        said = facts('handshake', COMPLETE, '-o', os.path.join(folder, name))
        kept.append([open(p, 'rb').read() for p in said['files']])
    assert kept[0] == kept[1]
    refused(2, 'Not a directory', 'handshake', COMPLETE, '-o', COMPLETE)
    assert run('handshake')[0] == 2
    refused(2, 'No such file', 'handshake', os.path.join(folder, 'none'))


def members(folder):
    """an organism's and a lattice's own handshake, which verify believes"""
    missing, got, page = handshake(FEED, folder)
    ids = facts('organism', FEED)
    assert all(got[k] == ids[k] for k in ('stable_id', 'content_hash', 'organism_id'))
    assert got['kind'] == 'organism' and got['composite'] is False and 'open to everyone' in page.text
    assert missing == ['description', 'state_machine', 'failure_policy', 'retention',
                       'publish.change_channel']
    six = ('zipnet', 'unseal', 'offer', 'atelier', 'relay', 'tally')
    for name in six:
        write(folder, name + '.toml', f'schema_version = 1\nkind = "organism"\nname = "{name}"\n'
              f'operator = "{"05" * 32}"\nacl = []\n[content]\nhex = "00"\n')
    path = write(folder, 'lattice.toml', 'schema_version = 1\nkind = "lattice"\n'
                 'name = "some.lattice"\nchain_id = 7\n' +
                 ''.join(f'{n} = "{n}.toml"\n' for n in six))
    missing, lattice, page = handshake(path, folder)
    assert lattice['kind'] == 'lattice' and lattice['chain_id'] == 7
    assert lattice['stable_id'] == facts('stable-id', 'some.lattice')['stable_id']
    for o, name in zip(lattice['organisms'], six, strict=True):
        ids = facts('organism', os.path.join(folder, name + '.toml'))
        assert o['role'] == name and o['organism_id'] == ids['organism_id']
        assert o['organism_id'] in page.text
    assert [m for m in missing if '.' not in m] == ['description', 'operator', 'ticket_root',
                                                    'failure_policy', 'retention']
    coalition = write(folder, 'c.toml', f'''schema_version = 1
instance_name = "c"
[[lattice]]
name = "some.lattice"
stable_id = "{lattice['stable_id']}"
[[organism]]
role = "oracle"
stable_id = "{got['stable_id']}"
content_hash = "{got['content_hash']}"
''')
    files = [os.path.join(folder, n) for n in ('some.lattice.json', 'price-feed.eur.json')]
    fingerprint = facts('freeze', coalition)['coalition_id']
    assert facts('verify', coalition, fingerprint, '--member', *files)['ok'] is True


frame.main(complete, roll_call, taken_away, not_shipped, strangers_text, same_bytes, members)
