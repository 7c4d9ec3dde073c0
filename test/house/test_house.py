#!/usr/bin/env python3
"""The checks of the house, checked: each must find what is planted, and let pass what is right.

Builds small trees in a temporary folder, runs tools/check-layers, tools/tidy and the counting of
tools/run-tests on them. Speaks TAP.
"""
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = """
include/mosaik: mosaik
src/base: public
src/net: public src/base <openssl>
organisms: public
test: *
"""


def load(tool):
    path = os.path.join(ROOT, 'tools', tool)
    loader = importlib.machinery.SourceFileLoader(tool.replace('-', '_'), path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


class Tree:
    """A throw-away tree with the files given."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        for path, text in dict({'layers.txt': LAYERS}, **self.files).items():
            full = os.path.join(self.directory.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as f:
                f.write(text)
        return self.directory.name

    def __exit__(self, *error):
        self.directory.cleanup()


def run(tool, root):
    p = subprocess.run([sys.executable, os.path.join(ROOT, 'tools', tool), '--root', root],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return p.returncode, p.stdout


def expect(tool, files, *wanted):
    """The tool names each of wanted and fails; with none wanted it passes."""
    with Tree(files) as root:
        status, out = run(tool, root)
    for text in wanted:
        if text not in out:
            return f'{text!r} is not in {out!r}'
    if status != (1 if wanted else 0):
        return f'status {status}: {out!r}'
    return None


BASE = {'src/base/base.h': '#include <mosaik/id.h>\n', 'include/mosaik/id.h': ''}


def layers_upward():
    return expect('check-layers',
                  dict(BASE, **{'src/net/net.h': '', 'src/base/a.c': '\n#include "net/net.h"\n'}),
                  'src/base/a.c:2: "net/net.h" belongs to src/net')


def layers_privilege():
    return expect('check-layers',
                  dict(BASE, **{'src/net/n.c': '#include <uv.h>\n#include <openssl/ssl.h>\n'}),
                  'src/net/n.c:1: <uv.h> needs the privilege <uv>', '1 offences')


def layers_seam():
    return expect('check-layers', dict(BASE, **{'src/net/n.c': '#include <sys/socket.h>\n'}),
                  '<sys/socket.h> needs the privilege <os>')


def layers_private_door():
    return expect('check-layers',
                  dict(BASE, **{'organisms/atlas/atlas.c': '#include "base/base.h"\n'}),
                  'organisms/atlas/atlas.c:1:', 'which organisms may not use')


def layers_public_upward():
    return expect('check-layers', dict(BASE, **{'include/mosaik/x.h': '#include <coalition/c.h>\n'}),
                  '<coalition/c.h> is not granted')


def layers_unknown_folder():
    return expect('check-layers', dict(BASE, **{'src/new/n.c': ''}), 'is not in layers.txt')


def layers_missing_file():
    return expect('check-layers', dict(BASE, **{'src/net/n.c': '#include "net/gone.h"\n'}),
                  'is nowhere in the tree')


def layers_good():
    return expect('check-layers', dict(BASE, **{
        'src/net/net.h': '#include "base/base.h"\n',
        'src/net/n.c': '#include "net/net.h"\n#include <mosaik/id.h>\n#include <openssl/ssl.h>\n',
        'organisms/atlas/a.c': '#include <mosaik/id.h>\n#include "b.h"\n',
        'organisms/atlas/b.h': '',
        'test/unit/t.c': '#include <unistd.h>\n#include "net/net.h"\n'}))


def tidy_words():
    return expect('tidy', {'src/a.c': 'int f(void)\n{\n    return atoi("1");\n}\n',
                           'src/group/b.c': 'static double x;\n',
                           'organisms/c.c': 't = time(NULL);\n'},
                  'src/a.c:3: atoi:', 'src/group/b.c:1: double:', 'organisms/c.c:1: time:',
                  '3 offences')


def tidy_notes():
    return expect('tidy', {'src/a.c': '/* TO' 'DO: later */\n', 'docs/x.md': 'see /wo' 'rk/main\n'},
                  'src/a.c:1: TO' 'DO', 'docs/x.md:1:', '2 offences')


def tidy_lets_pass():
    return expect('tidy', {
        'src/a.c': '/* atoi(x) */\nputs_count("atoi(x)");\nx = y->time(z_time);\n'
                   'free(p); /* tidy: ok, given by a library that used malloc */\n'
                   '/* tidy: ok, the same */\nfree(q);\nmk_free(r);\nuint64_t at_time;\n',
        'src/uv/clock.c': 'n = uv_hrtime();\nfd = open(p, 0);\n'})


def tidy_wants_a_reason():
    return expect('tidy', {'src/a.c': 'free(p); /* tidy: ok */\n'}, 'src/a.c:1: free:')


def counting():
    tests = [
        ({'result': 'OK', 'stdout': '1..2\nok 1 - a\nok 2 - b # SKIP no clang\n'}, (1, 0, 1)),
        ({'result': 'FAIL', 'stdout': '1..2\nok 1 - a\nnot ok 2 - b\n'}, (1, 1, 0)),
        ({'result': 'FAIL', 'returncode': 0, 'stdout': '1..2\nok 1 - a\nnot ok 2 # SKIP b\n'},
         (1, 0, 1)),
        ({'result': 'FAIL', 'returncode': 1, 'stdout': '1..1\nnot ok 1 # SKIP b\n'}, (0, 1, 1)),
        ({'result': 'ERROR', 'stdout': '1..2\nok 1 - a\n'}, (1, 1, 0)),
        ({'result': 'TIMEOUT', 'stdout': ''}, (0, 1, 0)),
        ({'result': 'SKIP', 'stdout': 'format: skipped\n'}, (0, 0, 1)),
        ({'result': 'OK', 'stdout': ''}, (1, 0, 0)),
    ]
    runner = load('run-tests')
    for test, want in tests:
        c = runner.count_test(test)
        if (c.passed, c.failed, c.skipped) != want:
            return f'{json.dumps(test)}: {c.line()}, wanted {want}'
    return None


def conformance_names_tests():
    """Every test that docs/conformance.md names is in the tree, and one that is not is found."""
    status, out = run('check-conformance', ROOT)
    if status != 0:
        return out
    return expect('check-conformance',
                  {'docs/conformance.md': '`test_there`\n`test_gone`, `T.test_it` in `test_a.py`\n`b.c`\n',
                   'test/test_a.py': 'def test_there():\n    pass\n\nclass T:\n    def test_on(self):\n'},
                  'conformance.md:2: test_gone is no test', 'T.test_it is no test of test_a.py',
                  'b.c is no file of the tests')


def public_functions_are_called():
    """A function of include/ that nobody calls is found."""
    status, out = run('check-public', ROOT)
    if status != 0:
        return out
    return expect('check-public',
                  {'include/mosaik/a.h': '/** x */\nint mk_called(void);\nint\nmk_alone(int a);\n',
                   'test/a.c': 'int main(void)\n{\n    return mk_called();\n}\n'},
                  'include/mosaik/a.h: mk_alone: nobody calls it')


def public_functions_are_described():
    """A function of include/ without a word is found, and a table whose fields have none."""
    table = '#define MK_%s_TABLE(F, S) \\\n    F(S, mk_u8, a)%s \\\n    F(S, mk_u8, b) \\\n    F(S, mk_u8, c)\n'
    return expect('check-public',
                  {'include/mosaik/a.h': '/** x */\nint mk_a(void);\nint mk_run(void);\n\nint mk_bare(void);\n'
                                         'int mk_beside(void); /* y */\n' +
                                         table % ('SAID', ' /* z */') + table % ('BARE', ''),
                   'test/a.c': 'int main(void)\n{\n    return mk_a() + mk_run() + mk_bare() + mk_beside();\n}\n'},
                  'mk_bare: not described', 'MK_BARE_TABLE: no field is described', '2 offences')


def pages_point_somewhere():
    """Links of README and docs/ lead to files, and what the glossary names is declared."""
    lost, text = [], ''
    for folder, _, files in [*os.walk(os.path.join(ROOT, 'include')), *os.walk(os.path.join(ROOT, 'organisms'))]:
        for name in (n for n in files if n.endswith('.h')):
            with open(os.path.join(folder, name), encoding='utf-8') as f:
                text += f.read()
    docs = os.path.join(ROOT, 'docs')
    for path in [os.path.join(ROOT, 'README.md'), *(os.path.join(docs, n) for n in os.listdir(docs))]:
        with open(path, encoding='utf-8') as f:
            page = f.read()
        for link in re.findall(r'\]\(([^)#:]+)\)', page):
            if not os.path.exists(os.path.join(os.path.dirname(path), link)):
                lost.append(f'{os.path.basename(path)}: {link}')
        for name in re.findall(r'`(?:struct |enum )?((?:mk|coa)_\w+)(?:\(\))?`', page) if path.endswith('glossary.md') else ():
            if not re.search(rf'\b{name}\b', text):
                lost.append(f'glossary: {name}')
        for name in re.findall(r'`((?:mosaik|coalition)/\w+\.h|src/[\w/.]+)`', page) if path.endswith('glossary.md') else ():
            if not any(os.path.exists(os.path.join(ROOT, p, name)) for p in ('', 'include')):
                lost.append(f'glossary: {name}')
    return '\n'.join(lost) or None


def spec_is_explained():
    """docs/spec.md has each page that a comment cites, and the files that it names are there."""
    with open(os.path.join(ROOT, 'docs', 'spec.md'), encoding='utf-8') as f:
        page = f.read()
    there, cited = set(), set()
    for root in ('include', 'src', 'programs', 'organisms'):
        for folder, _, files in os.walk(os.path.join(ROOT, root)):
            for name in files:
                path = os.path.join(folder, name)
                there.update((name, os.path.relpath(path, ROOT)))
                with open(path, encoding='utf-8') as f:
                    cited.update(re.findall(r'\bspec/\w+\.md', f.read()))
    missing = {c for c in cited if f'`{c}`' not in page}
    missing |= set(re.findall(r'`([\w/-]+\.[ch])`', page)) - there
    return f'missing: {", ".join(sorted(missing))}' if missing or not cited else None


CASES = [layers_upward, layers_privilege, layers_seam, layers_private_door, layers_public_upward,
         layers_unknown_folder, layers_missing_file, layers_good, tidy_words, tidy_notes,
         tidy_lets_pass, tidy_wants_a_reason, counting,
         conformance_names_tests, public_functions_are_called, public_functions_are_described,
         pages_point_somewhere, spec_is_explained]


def main():
    print(f'1..{len(CASES)}')
    failed = 0
    for number, case in enumerate(CASES, 1):
        complaint = case()
        failed += complaint is not None
        print(f'{"not ok" if complaint else "ok"} {number} - {case.__name__}')
        if complaint:
            print('# ' + complaint.replace('\n', '\n# '))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
