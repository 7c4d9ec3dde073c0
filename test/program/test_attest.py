#!/usr/bin/env python3
"""The emulator's command, and every way in which an [attest] can be wrong.

  test_attest.py PROGRAM

What the emulator makes is looked at with openssl, which shares no code with it. Speaks TAP.
"""
import json
import os
import subprocess
import sys
import tempfile
import traceback

PROGRAM = os.path.abspath(sys.argv[1])
MR_TD = '5a' * 48
NODE = ('key = "node.key"\nlisten = "127.0.0.1:0"\ndir = "state"\ncomponents = []\n')


def run(*args, cwd=None):
    p = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60, cwd=cwd,
                       stdin=subprocess.DEVNULL)
    assert p.returncode >= 0 and 'Sanitizer' not in p.stderr, (args, p.stderr)
    return p.returncode, p.stdout, p.stderr


def openssl(*args):
    return subprocess.run(['openssl', *args], check=True, capture_output=True, text=True).stdout


def an_emulator_is_made_and_renewed(folder):
    emu = os.path.join(folder, 'emu')
    status, out, err = run('emulator', emu, '--mr-td', MR_TD, '--rtmr1', '11' * 48, '--json')
    assert status == 0, err
    assert json.loads(out) == {'dir': emu, 'mr_td': MR_TD}
    assert os.stat(os.path.join(emu, 'emulator.key')).st_mode & 0o777 == 0o600
    with open(os.path.join(emu, 'measured.json'), encoding='utf-8') as f:
        measured = json.load(f)[0]['measurements']
    assert {k: v['expected'] for k, v in measured.items()} == {'0': MR_TD, '2': '11' * 48}
    with open(os.path.join(emu, 'emulator.key'), encoding='utf-8') as f:
        key = f.read()
    key_of_root = openssl('x509', '-in', os.path.join(emu, 'root.pem'), '-noout', '-pubkey')
    status, out, err = run('emulator', emu, '--valid', '60')  # renewed: the same authority
    assert status == 0 and MR_TD in out and 'NOT INTEL' in out, (out, err)
    assert openssl('x509', '-in', os.path.join(emu, 'root.pem'), '-noout',
                   '-pubkey') == key_of_root
    with open(os.path.join(emu, 'emulator.key'), encoding='utf-8') as f:
        assert f.read() == key


def its_certificates_are_no_ones_else(folder):
    """Each says what it is; the chains are what openssl takes for chains."""
    emu = os.path.join(folder, 'emu')
    root = os.path.join(emu, 'root.pem')
    assert 'NOT INTEL, proves nothing' in openssl('x509', '-in', root, '-noout', '-subject')
    with open(os.path.join(emu, 'collateral', 'emulator.json'), encoding='utf-8') as f:
        collateral = json.load(f)
    for name in ('tcb_info_issuer_chain', 'pck_crl_issuer_chain', 'qe_identity_issuer_chain'):
        leaf = os.path.join(folder, name + '.pem')
        with open(leaf, 'w', encoding='utf-8') as f:
            f.write(collateral[name])
        assert 'NOT INTEL' in openssl('x509', '-in', leaf, '-noout', '-subject')
        assert openssl('verify', '-CAfile', root, leaf).strip().endswith('OK')
    for name, issuer in (('root_ca_crl', root),
                         ('pck_crl', os.path.join(folder, 'pck_crl_issuer_chain.pem'))):
        crl = os.path.join(folder, name + '.der')
        with open(crl, 'wb') as f:
            f.write(bytes.fromhex(collateral[name]))
        p = subprocess.run(['openssl', 'crl', '-inform', 'DER', '-in', crl, '-noout', '-CAfile',
                            issuer], capture_output=True, text=True, check=True)
        assert 'verify OK' in p.stderr + p.stdout, (name, p.stderr)


def wrong_usage_of_the_emulator(folder):
    for args, part in ((('emulator',), 'a directory is'),
                       (('emulator', 'x', '--mr-td', '12'), '96 hex digits'),
                       (('emulator', 'x', '--rtmr0', '00' * 48), '--rtmr0 to --rtmr3 need --mr-td'),
                       (('emulator', 'x', '--valid', '0'), '--valid')):
        status, _, err = run(*args, cwd=folder)
        assert status == 2 and part in err and err.count('\n') == 1, (args, status, err)
    assert not os.path.exists(os.path.join(folder, 'x'))


def a_wrong_attest_is_named_with_its_place(folder):
    run('key', 'new', os.path.join(folder, 'node.key'))
    for lines, part in (
            ('source = "sgx"', 'source is "configfs-tsm" or "emulator", not "sgx"'),
            ('source = "emulator"', 'emulator = DIR and source = "emulator" need each other'),
            ('emulator = "emu"', 'emulator = DIR and source = "emulator" need each other'),
            ('fetch = "true"', 'fetch renews collateral = DIR'),
            ('tcb = ["Revoked"]', '"Revoked" is no TCB status that can be accepted'),
            ('tcb = []', 'at least one TCB status'),
            ('tcb = "UpToDate"', 'node.toml:'),
            ('reload_s = 0', 'node.toml:'),
            ('speed = 1', 'speed'),
            ('root = "nowhere.pem"', 'nowhere.pem'),
            ('root = "node.key"', 'root'),
            ('published = ["node.key"]', 'node.key'),
            ('source = "emulator"\nemulator = "nowhere"', 'emulator.key')):
        with open(os.path.join(folder, 'node.toml'), 'w', encoding='utf-8') as f:
            f.write(NODE + '\n[attest]\n' + lines + '\n')
        status, _, err = run('node', 'node.toml', cwd=folder)
        assert status == 2 and part in err and err.count('\n') == 1, (lines, status, err)


def a_wrong_attest_file_too(folder):
    example = os.path.join(folder, 'coalition.toml')
    with open(example, 'w', encoding='utf-8') as f:
        f.write('schema_version = 1\ninstance_name = "x"\n')
    with open(os.path.join(folder, 'bad.toml'), 'w', encoding='utf-8') as f:
        f.write('tcb = ["Fine"]\n')
    for name, part in (('bad.toml', '"Fine" is no TCB status'), ('none.toml', 'none.toml')):
        status, _, err = run('bind', example, '--attest', os.path.join(folder, name))
        assert status == 2 and part in err and err.count('\n') == 1, (name, status, err)
        status, _, err = run('stream', 'publish', '--surface', '07' * 32, '--attest',
                             os.path.join(folder, name))
        assert status == 2 and part in err and err.count('\n') == 1, (name, status, err)


TESTS = (an_emulator_is_made_and_renewed, its_certificates_are_no_ones_else,
         wrong_usage_of_the_emulator, a_wrong_attest_is_named_with_its_place,
         a_wrong_attest_file_too)


def main():
    failed = 0
    print(f'1..{len(TESTS)}')
    with tempfile.TemporaryDirectory(prefix='coalition-attest-') as folder:
        for i, test in enumerate(TESTS, 1):
            try:
                test(folder)
                print(f'ok {i} - {test.__name__}')
            except Exception:  # one line a test, and the rest as comments
                failed += 1
                for line in traceback.format_exc().splitlines():
                    print('#', line)
                print(f'not ok {i} - {test.__name__}')
    sys.exit(failed > 0)


main()
