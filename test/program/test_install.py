#!/usr/bin/env python3
"""What `meson install` leaves is enough to build an integrator outside the tree.

  test_install.py PROGRAM BUILD SANITIZERS CC...

Installs into a folder of its own (DESTDIR). Speaks TAP.
"""
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import frame
from frame import ROOT

BUILD, SANITIZE, CC = sys.argv[2], sys.argv[3], sys.argv[4:]
TREE = tempfile.TemporaryDirectory()  # one installation for all tests


def must(*args, **kw):
    p = subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=240, **kw)
    assert p.returncode == 0, (args, p.stdout, p.stderr)
    return p.stdout


@functools.cache
def prefix():
    options = json.loads(must('meson', 'introspect', '--buildoptions', BUILD))
    named = next(o['value'] for o in options if o['name'] == 'prefix')
    return os.path.join(TREE.name, named.lstrip('/'))


def only(pattern):
    found = glob.glob(os.path.join(prefix(), pattern), recursive=True)
    assert len(found) == 1, (pattern, found)
    return found[0]


@functools.cache
def flags(*wanted):
    env = {**os.environ, 'PKG_CONFIG_PATH': os.path.dirname(only('**/coalition.pc'))}
    out = must('pkg-config', f'--define-variable=prefix={prefix()}', *wanted, 'coalition', env=env)
    assert ROOT + '/include' not in out, out
    return out.split() + ([] if SANITIZE == 'none' else ['-fsanitize=' + SANITIZE])


def install(folder):
    """the program, the libraries, the headers, the package are installed"""
    must('meson', 'install', '-C', BUILD, '--no-rebuild', '--destdir', TREE.name)
    assert must(only('bin/coalition'), '--version').startswith('coalition ')
    for name in ('libmosaik.a', 'libcoalition_organisms.a', 'libmosaik_ffi.so'):
        only('**/' + name)
    package = {os.path.basename(p) for p in glob.glob(ROOT + '/python/mosaik/*.py')}
    installed = os.path.dirname(only('**/mosaik/_library.py'))
    assert {n for n in os.listdir(installed) if n.endswith('.py')} == package, installed


def headers(folder):
    """each public header compiles alone, by what was installed"""
    names = [os.path.relpath(p, ROOT + '/include') for p in glob.glob(ROOT + '/include/*/*.h')]
    assert len(names) > 30, names
    for n, name in enumerate([*names, 'atlas/atlas.h', 'price-feed/price_feed.h']):
        frame.write(folder, f'{n}.c', f'#include <{name}>\n')
    must(*CC, '-std=c17', '-Wall', '-Werror', '-fsyntax-only', *flags('--cflags'),
         *os.listdir(folder), cwd=folder)


def integrator(folder):
    """examples/integrator.c builds in another folder with pkg-config alone, and runs"""
    header = must(only('bin/coalition'), 'freeze', '--c', ROOT + '/examples/superchain.toml')
    frame.write(folder, 'superchain.h', header)
    with open(ROOT + '/examples/integrator.c', encoding='utf-8') as f:
        frame.write(folder, 'integrator.c', f.read())
    must(*CC, '-I.', 'integrator.c', *flags('--cflags', '--libs'), '-o', 'integrator', cwd=folder)
    p = subprocess.run(['./integrator', 'none.toml'], capture_output=True, text=True, cwd=folder,
                       timeout=60)
    assert (p.returncode, p.stderr) == (1, 'file: none.toml: cannot be read\n'), p


def shelf(folder):
    """so does examples/shelf.c, on the substrate's library"""
    with open(ROOT + '/examples/shelf.c', encoding='utf-8') as f:
        frame.write(folder, 'shelf.c', f.read())
    must(*CC, 'shelf.c', *flags('--cflags', '--libs'), '-o', 'shelf', cwd=folder)
    p = subprocess.run(['./shelf', 'get', 'none.toml', 'x'], capture_output=True, text=True,
                       cwd=folder, timeout=60)
    assert (p.returncode, p.stderr) == (2, 'shelf: none.toml: No such file or directory\n'), p


def package(folder):
    """the Python package finds the library that was installed beside it"""
    if SANITIZE != 'none':
        return  # an interpreter that is not instrumented cannot load it
    env = {k: v for k, v in os.environ.items() if k not in ('MOSAIK_LIBRARY', 'LD_PRELOAD')}
    env['PYTHONPATH'] = os.path.dirname(os.path.dirname(only('**/mosaik/_library.py')))
    out = must(sys.executable, '-c',
               'import mosaik; from mosaik import _library\nprint(_library._find())\n'
               'with mosaik.Agent() as a: print(a.peer)', cwd=folder, env=env).split()
    assert out[0] == only('**/libmosaik_ffi.so') and len(out[1]) == 64, out


def package_elsewhere(folder):
    """a copy of the package asks pkg-config where the library was installed"""
    if SANITIZE != 'none':
        return
    shutil.copytree(os.path.dirname(only('**/mosaik/_library.py')), os.path.join(folder, 'mosaik'))
    with open(only('**/coalition.pc'), encoding='utf-8') as f:
        pc = re.sub('^prefix=.*$', 'prefix=' + prefix(), f.read(), flags=re.M)
    frame.write(folder, 'coalition.pc', pc)
    env = {k: v for k, v in os.environ.items()
           if k not in ('MOSAIK_LIBRARY', 'LD_PRELOAD', 'LD_LIBRARY_PATH')}
    for path, wanted in ((folder, only('**/libmosaik_ffi.so')), (folder + '/none', None)):
        p = subprocess.run([sys.executable, '-c', 'from mosaik import _library\n'
                            'print(_library._find())'], capture_output=True, text=True, cwd=folder,
                           env={**env, 'PYTHONPATH': folder, 'PKG_CONFIG_PATH': path}, timeout=60)
        if wanted:
            assert p.stdout.strip() == wanted, p
        else:
            assert 'libmosaik_ffi.so' in p.stderr and p.returncode != 0, p


frame.main(install, headers, integrator, shelf, package, package_elsewhere)
