#!/usr/bin/env python3
"""What a node tells operators over HTTP: metrics, liveness, readiness, structured logs.

  live_metrics.py PROGRAM

The text of /metrics is read by a parser of the format's rules that shares no code with the node, and
its names are compared with docs/metrics.md, both ways. Speaks TAP.
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from live_bed import MEMBERS, PROGRAM, ROOT, Up, agree, ask, nodes, on_term, run, unharmed
from tap import PATIENCE, free_port, play, until

SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')


def fetch(port, path, method='GET'):
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE)
    try:
        c.request(method, path)
        r = c.getresponse()
        return r.status, r.getheader('Content-Type'), r.read().decode()
    finally:
        c.close()


def labels_of(text):
    """A dict, or a failure: every byte of the text must belong to a label."""
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, text
        assert m.group(1) not in labels, text
        labels[m.group(1)], at = m.group(2), m.end()
    return labels


def parse(text):
    """{name: (type, [(sample name, labels, value)])}; the rules of the text format."""
    families, now = {}, None
    assert text.endswith('\n')
    for line in text.splitlines():
        if line.startswith('# HELP '):
            now = line.split(' ', 3)[2]
            assert now not in families and len(line.split(' ', 3)[3]) > 5, line
            families[now] = [None, []]
        elif line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            assert name == now and families[now][0] is None, line
            assert kind in ('counter', 'gauge', 'histogram'), line
            families[now][0] = kind
        else:
            m = SAMPLE.fullmatch(line)
            assert m, line
            name, labels = m.group(1), labels_of(m.group(2) or '')
            ends = ('_bucket', '_sum', '_count') if families[now][0] == 'histogram' else ('',)
            assert any(name == now + end for end in ends), (now, line)
            assert families[now][0] != 'counter' or name.endswith('_total'), line
            key = (name, tuple(sorted(labels.items())))
            assert key not in [s[0] for s in families[now][1]], line
            families[now][1].append((key, labels, float(m.group(3))))
    return families


def value(families, name, **labels):
    found = [v for (n, _), l, v in families['coalition_' + name][1]
             if n == 'coalition_' + name and l == labels]
    assert len(found) == 1, (name, labels, families['coalition_' + name])
    return found[0]


class Watched:
    """An `up` whose first member serves HTTP."""

    def __init__(self, folder):
        self.port = free_port()
        self.up = Up(folder)
        self.up.wait(lambda: self.up.ready, '`up` to be ready')
        path = os.path.join(self.up.dir, 'atlas-1', 'node.toml')
        with open(path, encoding='utf-8') as f:
            text = f.read()
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'http = "127.0.0.1:{self.port}"\n' + text)
        self.up.kill(['atlas-1'])
        until(self.answers, 'the member to serve HTTP')
        until(lambda: fetch(self.port, '/readyz')[0] == 200, 'the member to be ready')
        agree(self.up)

    def answers(self):
        return fetch(self.port, '/livez')[0] == 200

    def metrics(self):
        status, kind, text = fetch(self.port, '/metrics')
        assert status == 200 and kind.startswith('text/plain; version=0.0.4'), (status, kind)
        return parse(text)


def documented(w):
    """each metric is in docs/metrics.md with its type and labels, and each one there is served"""
    with open(os.path.join(ROOT, 'docs', 'metrics.md'), encoding='utf-8') as f:
        rows = re.findall(r'^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \|', f.read(), re.M)
    families = w.metrics()
    assert {'coalition_' + name for name, _, _ in rows} == set(families), (
        {'coalition_' + name for name, _, _ in rows} ^ set(families))
    for name, kind, labels in rows:
        assert families['coalition_' + name][0] == kind, name
        for _, got, _ in families['coalition_' + name][1]:
            assert set(got) <= set(re.findall(r'`([a-z]+)`', labels)), (name, got, labels)


def numbers(w):
    """the numbers are the node's: they move with what happens"""
    before = w.metrics()
    card = ask('atlas', 'list', w.up.file)['cards'][0]['stable_id']
    for i in range(3):  # cards that differ: the stored one, published again, is no commit
        assert run('atlas', 'publish', w.up.file, '--member', card, '--key', w.up.key, '--hint',
                   f'test:{i}', '--timeout', '30')[0] == 0
    until(lambda: value(w.metrics(), 'surface_commits_total', component='atlas', surface='cards') >=
          value(before, 'surface_commits_total', component='atlas', surface='cards') + 3,
          'three more commits')
    until(lambda: value(w.metrics(), 'net_links') >= MEMBERS - 1 and
          value(w.metrics(), 'node_ready') == 1, 'it to be linked and ready')
    after = w.metrics()
    assert value(after, 'component_applied_index', component='atlas') > \
        value(before, 'component_applied_index', component='atlas')
    assert value(after, 'net_bytes_total', direction='in') > \
        value(before, 'net_bytes_total', direction='in')
    frames = value(after, 'store_frames_total')
    assert frames > value(before, 'store_frames_total')
    assert value(after, 'store_healthy') == 1
    buckets = [(l['le'], v) for (n, _), l, v in after['coalition_store_sync_seconds'][1]
               if n.endswith('_bucket')]
    assert [v for _, v in buckets] == sorted(v for _, v in buckets), buckets
    assert buckets[-1] == ('+Inf', frames), buckets
    status, kind, text = fetch(w.port, '/status')
    assert status == 200 and kind == 'application/json'
    assert json.loads(text)['components'][0]['component'] == 'atlas'


def not_ready(w):
    """without a majority /readyz is 503 and says why, while /livez is 200"""
    stopped = [m for m in w.up.members if m != 'atlas-1']
    for m in stopped:
        w.up.signal(m, signal.SIGSTOP)
    try:
        until(lambda: fetch(w.port, '/readyz')[0] == 503, 'it to be not ready')
        text = fetch(w.port, '/readyz')[2]
        assert text.startswith('atlas: '), text
        assert fetch(w.port, '/livez')[0] == 200
        until(lambda: value(w.metrics(), 'node_ready') == 0, 'the metrics to say so')
    finally:
        for m in stopped:
            w.up.signal(m, signal.SIGCONT)
    until(lambda: fetch(w.port, '/readyz') == (200, 'text/plain; charset=utf-8', 'ready\n'),
          'it to be ready again')


def refusals(w):
    """other methods, other paths, garbage, and more connections than it takes"""
    assert fetch(w.port, '/livez', 'HEAD')[0] == 200
    assert fetch(w.port, '/livez', 'POST')[0] == 405
    assert fetch(w.port, '/metrics/', 'GET')[0] == 404
    assert fetch(w.port, '/' + 'x' * 4000)[0] == 404
    with socket.create_connection(('127.0.0.1', w.port), timeout=PATIENCE) as s:
        s.sendall(b'\x16\x03\x01 garbage\r\n\r\n')
        s.recv(100)  # an answer or an end, as the library likes; the node goes on
    crowd = []
    try:
        for _ in range(100):
            s = socket.create_connection(('127.0.0.1', w.port), timeout=PATIENCE)
            s.sendall(b'GET /livez HT')
            crowd.append(s)
        assert len(nodes(w.up)) == MEMBERS, 'the committee goes on'
    finally:
        for s in crowd:
            s.close()
    until(w.answers, 'it to answer again')


def logs(w):
    """`node --log json`: one object a line, with the keys that are documented"""
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        status, _, err = run('key', 'new', os.path.join(folder, 'node.key'))
        assert status == 0, err
        port = free_port()
        config = os.path.join(folder, 'node.toml')
        with open(config, 'w', encoding='utf-8') as f:
            f.write(f'key = "node.key"\nlisten = "127.0.0.1:0"\ndir = "state"\n'
                    f'http = "127.0.0.1:{port}"\ncomponents = []\n')
        p = subprocess.Popen([PROGRAM, 'node', config, '--log', 'json'], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        try:
            first = json.loads(p.stderr.readline())
            second = json.loads(p.stderr.readline())
        finally:
            p.send_signal(signal.SIGTERM)
            rest = p.stderr.read()
            p.stderr.close()
            assert p.wait(PATIENCE) == 0, rest
        assert first['event'] == 'listening' and second['event'] == 'http', (first, second)
        assert str(port) in second['text'] and first['level'] == 'info' and first['component'] == ''
        assert abs(first['unix_ms'] / 1000 - time.time()) < 60
        assert json.loads(rest.splitlines()[-1])['event'] == 'stopping', rest
    path = os.path.join(w.up.dir, 'atlas-1', 'log')
    with open(path, encoding='utf-8') as f:
        assert re.search(r'^atlas: (following|leading), term \d+', f.read(), re.M)
    assert run('node', config, '--log', 'loud')[0] == 2


def main():
    signal.signal(signal.SIGTERM, on_term)
    cases = (documented, numbers, not_ready, refusals, logs)
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        w = Watched(folder)
        try:
            failed = play(cases, w)
        finally:
            if w.up.process.poll() is None:
                w.up.stop()
        unharmed(w.up)
    sys.exit(1 if failed else 0)


main()
