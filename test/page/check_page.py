#!/usr/bin/env python3
"""A handshake page in a browser.

  check_page.py PROGRAM [--keep DIR]

For a complete coalition and for examples/superchain.toml: at 360 px nothing scrolls sideways;
printed, it is one A4 sheet; every id of the JSON is on it; it loads nothing and runs no script.
Without Chromium: skipped (77). --keep leaves page, screenshot and PDF in DIR. Speaks TAP.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.abspath(sys.argv[1])
KEEP = sys.argv[3] if sys.argv[2:3] == ['--keep'] else None
FILES = {'complete': os.path.join(ROOT, 'test', 'program', 'complete.toml'),
         'example': os.path.join(ROOT, 'examples', 'superchain.toml')}
WIDTH = 360
# The frame is as wide as a phone whatever the least width of the browser's window is.
FRAME = '''<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="f" src="%s" style="width:%dpx;height:4000px;border:0"></iframe>
<script>
onload = () => {
    const d = document.getElementById('f').contentDocument.documentElement;
    const wide = [...d.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > %d.5);
    document.body.setAttribute('data-measured', JSON.stringify({
        client: d.clientWidth, scroll: d.scrollWidth, height: d.scrollHeight,
        wide: wide.map(e => e.outerHTML.slice(0, 80)),
        text: d.innerText}));
};
</script>'''


def browser():
    for name in ('chromium', 'chromium-browser', 'google-chrome'):
        path = shutil.which(name)
        if path:
            return path
    return None


def chromium(folder, *args):
    p = subprocess.run(
        [browser(), '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
         '--disable-dev-shm-usage', '--allow-file-access-from-files', '--no-first-run',
         f'--user-data-dir={folder}/profile', *args],
        capture_output=True, timeout=120, env={**os.environ, 'HOME': folder})
    assert p.returncode == 0, p.stderr.decode()[-2000:]
    return p.stdout.decode()


def measure(folder, page):
    frame = os.path.join(folder, 'frame.html')
    with open(frame, 'w', encoding='utf-8') as f:
        f.write(FRAME % ('file://' + page, WIDTH, WIDTH))
    dom = chromium(folder, '--window-size=800,4200', '--virtual-time-budget=5000', '--dump-dom',
                   'file://' + frame)
    found = re.search(r'data-measured="([^"]*)"', dom)
    assert found, dom[:500]
    text = found.group(1)
    for entity, c in (('&quot;', '"'), ('&lt;', '<'), ('&gt;', '>'), ('&nbsp;', ' '),
                      ('&amp;', '&')):
        text = text.replace(entity, c)
    return json.loads(text)


def sheets(pdf):
    """Pages of a PDF: /Type /Page objects, in the clear or in compressed streams."""
    with open(pdf, 'rb') as f:
        data = f.read()
    parts = [data]
    for m in re.finditer(rb'stream\r?\n(.*?)endstream', data, re.S):
        try:
            parts.append(zlib.decompress(m.group(1)))
        except zlib.error:
            pass
    return sum(len(re.findall(rb'/Type\s*/Page\b(?!s)', p)) for p in parts)


def ids(value):
    """Every id of the JSON that the page must show."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ('config_c', 'config_hex'):
                yield from ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from ids(inner)
    elif isinstance(value, str):
        yield from re.findall(r'\b[0-9a-f]{40,}\b', value)


def png_size(path):
    with open(path, 'rb') as f:
        return struct.unpack('>II', f.read(24)[16:])


def check(name, folder):
    p = subprocess.run([PROGRAM, 'handshake', FILES[name], '-o', folder, '--json'],
                       capture_output=True, timeout=60)
    assert p.returncode == 0, p.stderr
    page, facts = (os.path.abspath(n) for n in json.loads(p.stdout)['files'])
    with open(facts, encoding='utf-8') as f:
        wanted = set(ids(json.load(f)))
    seen = measure(folder, page)
    assert seen['client'] == WIDTH and seen['scroll'] <= WIDTH and not seen['wide'], seen
    lost = [i for i in wanted if i not in seen['text']]
    assert len(wanted) > 15 and not lost, lost
    with open(page, encoding='utf-8') as f:
        html = f.read()
    assert '<script' not in html and 'src=' not in html and '@import' not in html
    pdf, shot = os.path.join(folder, name + '.pdf'), os.path.join(folder, name + '.png')
    chromium(folder, '--no-pdf-header-footer', f'--print-to-pdf={pdf}', 'file://' + page)
    assert sheets(pdf) == 1, sheets(pdf)
    chromium(folder, f'--window-size={WIDTH + 140},{min(seen["height"], 3000)}',
             f'--screenshot={shot}', 'file://' + os.path.join(folder, 'frame.html'))
    assert png_size(shot)[0] >= WIDTH


def main():
    if browser() is None:
        print('1..0 # SKIP no Chromium')
        return 77
    failed = 0
    print(f'1..{len(FILES)}', flush=True)
    for number, name in enumerate(FILES, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(name, folder)
                print(f'ok {number} - {name}', flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as e:
                failed += 1
                print(f'not ok {number} - {name}', flush=True)
                print('#', str(e)[:3000].replace('\n', '\n# '), flush=True)
            if KEEP:
                shutil.copytree(folder, os.path.join(KEEP, name), dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns('profile', '.*'))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
