#!/usr/bin/env python3
"""The commands of a page of docs/, run as they stand, and what they print, compared.

  run_page.py PAGE PROGRAM...

A block of a page that begins with ```sh is a script of bash (-e): its words after `sh` say how:
    on=NAME       in the folder of machine NAME (else in that of the page)
    status=N      it ends so (else 0)
    eventually    asked again until it says what it should
The ```text block right after it is what it prints: those lines are found in the output in this
order, `…` stands for anything, a run of spaces for any other. Machines are folders; 10.0.0.N and
127.0.0.N are addresses of a loopback network of this run alone, `scp` copies between folders, `systemctl` starts what the unit file beside says
(test/docs/shims). PROGRAMs are on the PATH. Speaks TAP.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE = 60  # seconds for a block that should take one or two
BLOCK = re.compile(r'^```(\w*)([^\n]*)\n(.*?)^```$', re.S | re.M)


class Block:
    def __init__(self, line, words, script):
        self.line, self.script, self.prints = line, script, None
        self.options = dict(w.split('=', 1) if '=' in w else (w, '1') for w in words.split())
        unknown = set(self.options) - {'on', 'status', 'eventually'}
        assert not unknown, f'line {line}: {unknown}'


def blocks(text):
    """The scripts of a page, each with what it prints."""
    found, end = [], None
    for m in BLOCK.finditer(text):
        line = text.count('\n', 0, m.start()) + 1
        if m.group(1) == 'sh':
            found.append(Block(line, m.group(2), m.group(3)))
            end = m.end()
        elif m.group(1) == 'text' and end is not None and not text[end:m.start()].strip():
            found[-1].prints = m.group(3)
    return found


def pattern(line):
    words = re.split(r'(…|\s+)', line.strip())
    return ''.join('.*' if w == '…' else '[ \t]+' if not w.strip() and w else re.escape(w)
                   for w in words)


def missing(prints, output):
    """The first line that is not found, in order; None."""
    at = 0
    for line in filter(str.strip, prints.splitlines()):
        m = re.compile(pattern(line)).search(output, at)
        if m is None:
            return line
        at = m.end()
    return None


class Page:
    def __init__(self, folder, programs):
        self.folder = folder
        bin_ = os.path.join(folder, '.bin')
        os.mkdir(bin_)
        shims = [n for n in os.listdir(os.path.join(HERE, 'shims'))
                 if n != 'curl' or shutil.which('curl') is None]
        for path in [*programs, *(os.path.join(HERE, 'shims', n) for n in shims)]:
            os.symlink(path, os.path.join(bin_, os.path.basename(path)))
        # Addresses of nobody else: two runs of one page on one host do not meet.
        self.net = f'127.{20 + os.getpid() % 200}.{1 + os.getpid() // 200 % 250}.'
        source = os.path.join(folder, '.source', 'examples')
        os.makedirs(source)
        for name in (n for n in os.listdir(os.path.join(ROOT, 'examples')) if n.endswith('.toml')):
            with open(os.path.join(ROOT, 'examples', name), encoding='utf-8') as f, \
                    open(os.path.join(source, name), 'w', encoding='utf-8') as to:
                to.write(f.read().replace('127.0.0.', self.net))
        self.env = {**os.environ, 'PATH': bin_ + ':' + os.environ['PATH'], 'MACHINES': folder,
                    'HOME': folder, 'SOURCE': os.path.dirname(source), 'LC_ALL': 'C.UTF-8'}

    def run(self, block):
        where = os.path.join(self.folder, block.options.get('on', 'here'))
        os.makedirs(where, exist_ok=True)
        script = block.script.replace('10.0.0.', self.net).replace('127.0.0.', self.net)
        with tempfile.TemporaryFile('w+', encoding='utf-8') as out:  # what goes on keeps it open
            p = subprocess.run(['bash', '-euo', 'pipefail', '-c', script], cwd=where, env=self.env,
                               stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                               timeout=3 * PATIENCE)
            out.seek(0)
            output = out.read().replace(self.net, '10.0.0.')
        wanted = int(block.options.get('status', 0))
        if p.returncode != wanted:
            return f'it ended with {p.returncode}, not {wanted}:\n{output}'
        line = missing(block.prints, output) if block.prints else None
        return None if line is None else f'it did not print "{line}":\n{output}'

    def judge(self, block):
        deadline = time.monotonic() + PATIENCE
        while True:
            why = self.run(block)
            if why is None or 'eventually' not in block.options or time.monotonic() > deadline:
                return why
            time.sleep(0.1)  # between two looks; the deadline is above

    def stop(self):
        subprocess.run([os.path.join(HERE, 'shims', 'systemctl'), 'end-of-page'], env=self.env,
                       check=True, timeout=PATIENCE)
        for pid in filter(str.isdigit, os.listdir('/proc')):  # what a block left running: ours by
            try:                                              # the folder, which nobody else has
                with open(f'/proc/{pid}/environ', 'rb') as f:
                    ours = f'MACHINES={self.folder}'.encode() in f.read().split(b'\0')
                if ours and int(pid) != os.getpid():
                    os.kill(int(pid), signal.SIGKILL)
            except (OSError, ValueError):
                pass  # it has ended, or is another's

    def logs(self):
        for at, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith('.log'):
                    with open(os.path.join(at, name), encoding='utf-8', errors='replace') as f:
                        yield os.path.join(at, name), f.read()


def main():
    with open(sys.argv[1], encoding='utf-8') as f:
        found = blocks(f.read())
    assert found, 'no commands'
    failed = 0
    print(f'1..{len(found) + 1}', flush=True)
    folder = tempfile.mkdtemp(prefix='page-')
    page = Page(folder, [os.path.abspath(p) for p in sys.argv[2:]])
    try:
        for number, block in enumerate(found, 1):
            why = page.judge(block) if not failed else 'a block before it failed'
            first = block.script.strip().splitlines()[0]
            print(f'{"not ok" if why else "ok"} {number} - line {block.line}: {first}', flush=True)
            if why:
                failed += 1
                print('# ' + why.replace('\n', '\n# '), flush=True)
    finally:
        page.stop()
    bad = [(n, t) for n, t in page.logs() if re.search('Sanitizer|runtime error:|assertion', t)]
    print(f'{"not ok" if bad else "ok"} {len(found) + 1} - the logs are clean', flush=True)
    for name, text in bad or (page.logs() if failed else ()):
        print(f'# {name}\n# ' + text[-3000:].replace('\n', '\n# '), flush=True)
    shutil.rmtree(folder)
    sys.exit(1 if failed or bad else 0)


if __name__ == '__main__':
    main()
