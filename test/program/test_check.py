#!/usr/bin/env python3
"""check: foreign data, judged through the program.

  test_check.py PROGRAM

Speaks TAP.
"""
import base64
import hashlib
import hmac
import json
import os
import threading
import time

import frame
from frame import facts, refused, run, write

GOOD = '''{:process 1, :type :invoke, :f :write, :value 4}
{:process 2, :type :invoke, :f :read, :value nil}
{:process 2, :type :ok, :f :read, :value 4}
{:process 1, :type :ok, :f :write, :value 4}
'''
BAD = GOOD + '''{:process 2, :type :invoke, :f :read, :value nil}
{:process 2, :type :ok, :f :read, :value nil}
'''
MODEL = ('--model', 'cas-register')


def history(folder):
    """history: ok ends with 0, refused with 1 and the line, both as text and as JSON"""
    good, bad = write(folder, 'good.edn', GOOD), write(folder, 'bad.edn', BAD)
    fact = facts('check', 'history', good, *MODEL)
    assert fact['verdict'] == 'ok' and fact['operations'] == 2, fact
    assert fact['seconds'] < 5 and fact['line'] is None and fact['reason'] is None, fact
    fact = facts('check', 'history', bad, *MODEL, status=1)
    assert fact['verdict'] == 'refused' and fact['operations'] == 3 and fact['line'] == 6, fact
    status, out, _ = run('check', 'history', good, bad, *MODEL, '--json')
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and [f['verdict'] for f in lines] == ['ok', 'refused'], (status, lines)
    status, out, _ = run('check', 'history', bad, *MODEL)
    assert status == 1 and 'refused, 3 operations' in out and 'line 6: no order' in out, out


def patience(folder):
    """history: what is not known in time is unknown, with 3"""
    path = os.path.join(folder, 'wide.edn')
    with open(path, 'w', encoding='utf-8') as f:
        for i in range(60):  # at once, and a value that nobody wrote
            f.write(f'{{:process {i} :type :invoke :f :write :value {i}}}\n')
        for i in range(60):
            f.write(f'{{:process {i} :type :ok :f :write :value {i}}}\n')
        f.write('{:process 0 :type :invoke :f :read :value nil}\n'
                '{:process 0 :type :ok :f :read :value 99}\n')
    fact = facts('check', 'history', path, *MODEL, '--timeout', '300ms', status=3)
    assert fact['verdict'] == 'unknown' and 'out of time' in fact['reason'], fact
    assert 0.2 < fact['seconds'] < 20, fact


def wrong(folder):
    """history: a bad file or wrong words are status 2, one line with file, line and rule"""
    good = write(folder, 'good.edn', GOOD)
    refused(2, 'bad.edn: line 2: an operation is a map', 'check', 'history',
            write(folder, 'bad.edn', '[\n7]'), *MODEL)
    refused(2, 'no record in it', 'check', 'history', write(folder, 'poem', 'a poem\n'), *MODEL)
    refused(2, 'none: No such file', 'check', 'history', os.path.join(folder, 'none'), *MODEL)
    refused(2, '--model MODEL is missing', 'check', 'history', good)
    refused(2, 'not "queue"', 'check', 'history', good, '--model', 'queue')
    refused(2, 'a FILE is missing', 'check', 'history', *MODEL)
    refused(2, 'no check "this"', 'check', 'this')


# --- quotes -----------------------------------------------------------------------------

CORPUS = os.path.join(frame.ROOT, 'test', 'fuzz', 'corpus')
VECTORS = os.path.join(os.environ.get('MK_VECTORS', os.path.join(frame.ROOT, '..', 'shared', 'vectors')),
                       'open', 'tdx')
AT = ('--at', '1750000000')


def forged(version):
    """The path and bytes of the corpus's quote of a version."""
    folder = os.path.join(CORPUS, 'quote')
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), 'rb') as f:
            data = f.read()
        if data[0] == version and b'-----END' in data:
            return os.path.join(folder, name), data
    raise AssertionError(f'no quote of version {version}')


def tdx(folder):
    """tdx: under its own root alone, binary and hex, with collateral and without, changed or not"""
    path, data = forged(4)
    root = os.path.join(folder, 'root.pem')
    with open(root, 'wb') as f:
        f.write(b'-----BEGIN' + data.rsplit(b'-----BEGIN', 1)[1].rstrip(b'\0'))
    fact = facts('check', 'tdx', path, '--root', root, *AT)
    assert (fact['verdict'], fact['chain'], fact['tcb_status'], fact['reason']) == ('ok', 'ok', None, None), fact
    assert (fact['version'], fact['tee'], fact['advisories']) == (4, 'tdx', []), fact
    assert fact['mr_td'] == 'a1' * 48 and fact['rtmr3'] == 'b3' * 48 and fact['report_data'] == 'da' * 64, fact
    assert fact['mr_config_id'] == fact['mr_owner'] == fact['mr_owner_config'] == '00' * 48, fact
    fact = facts('check', 'tdx', path, *AT, status=1)
    assert fact['verdict'] == fact['chain'] == 'refused' and 'trusted root' in fact['reason'], fact
    hexed = write(folder, 'quote.hex', '0x' + data.hex() + '\n')
    assert facts('check', 'tdx', hexed, '--root', root, *AT)['verdict'] == 'ok'
    docs = os.path.join(CORPUS, 'collateral')
    got = [facts('check', 'tdx', path, '--root', root, '--collateral', os.path.join(docs, d), *AT,
                 status=s)['tcb_status'] for d, s in sorted((d, collateral_status(os.path.join(docs, d)))
                                                            for d in os.listdir(docs))]
    assert got.count('UpToDate') == 2 and len(got) > 4, got
    fact = facts('check', 'tdx', path, '--root', root, '--collateral', docs, '--at', '1800000000', status=1)
    assert 'expired at 2027-01-15T08:00:00Z' in fact['reason'], fact
    bad = os.path.join(folder, 'bad')
    with open(bad, 'wb') as f:
        f.write(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    fact = facts('check', 'tdx', bad, '--root', root, *AT, status=1)
    assert fact['verdict'] == 'refused' and fact['chain'] == 'ok' and 'header and body' in fact['reason'], fact
    status, out, _ = run('check', 'tdx', path, bad, '--root', root, *AT, '--json')
    assert status == 1 and [json.loads(x)['verdict'] for x in out.splitlines()] == ['ok', 'refused'], out
    fact = facts('check', 'tdx', forged(3)[0], '--root', root, *AT)
    assert fact['verdict'] == 'ok' and fact['tee'] == 'sgx' and fact['mr_td'] is None, fact
    fact = facts('check', 'tdx', write(folder, 'poem', 'a poem\n'), status=1)
    assert fact['verdict'] == 'refused' and fact['chain'] == 'absent' and fact['version'] is None, fact


def collateral_status(path):
    """0 for the two documents that are whole and of TDX."""
    with open(path, 'rb') as f:
        data = f.read()
    return 0 if b'qe_identity' in data and b'TD_QE' in data else 1


def tdx_usage(folder):
    """tdx: wrong words and files that are not there are status 2"""
    path = forged(4)[0]
    refused(2, 'QUOTE is missing', 'check', 'tdx')
    refused(2, 'none: No such file', 'check', 'tdx', os.path.join(folder, 'none'))
    refused(2, 'none: No such file', 'check', 'tdx', path, '--collateral', os.path.join(folder, 'none'))
    refused(2, 'poem: ', 'check', 'tdx', path, '--collateral', write(folder, 'poem', 'a poem\n'))
    refused(2, 'root certificate', 'check', 'tdx', path, '--root', write(folder, 'r', 'x\n'))
    refused(2, '--at is "now"', 'check', 'tdx', path, '--at', 'now')
    refused(2, 'LOG and --quote', 'check', 'eventlog', path)


def foreign_pipes(folder):
    """a pipe that nobody writes to is given up by name; one with a writer is read"""
    pipe = os.path.join(folder, 'pipe')
    os.mkfifo(pipe)
    began = time.monotonic()
    refused(2, 'pipe: no regular file, and nobody wrote to it', 'check', 'tdx', pipe)
    assert time.monotonic() - began < 30
    with open(write(folder, 'good.edn', GOOD), 'rb') as f:
        data = f.read()
    writer = threading.Thread(target=lambda: open(pipe, 'wb').write(data))
    writer.start()
    assert facts('check', 'history', pipe, *MODEL)['verdict'] == 'ok'
    writer.join()


KEY = '{"kty":"oct","alg":"HS256","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}'


def jwt_names(folder):
    """jwt: a file that is not there is named as that, whatever else it could be"""
    refused(2, 'none.jwt: No such file', 'check', 'jwt', os.path.join(folder, 'none.jwt'), '--key', KEY)
    refused(2, './none: No such file', 'check', 'jwt', './none', '--key', KEY)
    for word in ('token.jwt', 'my token', 'a.b'):
        fact = facts('check', 'jwt', word, '--key', KEY, status=1)
        assert fact['verdict'] == 'refused' and fact['claims'] is None, fact
        assert fact['reason'].startswith('there is no file of that name, and as a token: '), fact
    fact = facts('check', 'jwt', 'eyJhbGciOiJub25lIn0.e30.', '--key', KEY, status=1)
    assert fact['verdict'] == 'refused' and 'no file' not in fact['reason'], fact


def signed(payload):
    """A compact JWS of these bytes, signed with KEY."""
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b'=').decode()
    head = text(b'{"alg":"HS256"}') + '.' + text(payload)
    secret = b'secret' * 6
    return head + '.' + text(hmac.new(secret, head.encode(), hashlib.sha256).digest())


def jwt_claims(folder):
    """jwt: a payload that is no claims is refused by its rule, unless the signature alone is asked about"""
    del folder
    ahead = b'{"exp":4000000000}'
    fact = facts('check', 'jwt', signed(ahead), '--key', KEY)
    assert fact['verdict'] == 'ok' and fact['claims'] == {'exp': 4000000000}, fact
    for payload in (b'{"exp":4000000000,"a":1,"a":2}', b'{"exp":4000000000,"n":99999999999999999999}',
                    b'{"exp":4000000000,"n":1e400}', b'{"exp":4000000000,"a":"\\u0000"}', b'{"exp":1' + 30 * b'0' + b'}',
                    b'[1]', b'7', b'a poem', b'', b'\xff', ahead + b'x'):
        token = signed(payload)
        fact = facts('check', 'jwt', token, '--key', KEY, status=1)
        assert fact['verdict'] == 'refused' and fact['claims'] is None, (payload, fact)
        assert 'the payload is malformed: ' in fact['reason'], (payload, fact)
        fact = facts('check', 'jwt', token, '--key', KEY, '--signature-only')
        assert fact['verdict'] == 'ok' and 'signature alone' in fact['reason'], (payload, fact)
        other = token[:-4] + ('AAAA' if token[-4:] != 'AAAA' else 'BBBB')
        facts('check', 'jwt', other, '--key', KEY, '--signature-only', status=1)
    fact = facts('check', 'jwt', signed(b'{"exp":1}'), '--key', KEY, status=1)
    assert 'malformed' not in fact['reason'], fact
    facts('check', 'jwt', signed(b'{"exp":1}'), '--key', KEY, '--signature-only')
    refused(2, 'cannot stand with --aud', 'check', 'jwt', 'a.b.c', '--key', KEY, '--signature-only', '--aud', 'x')


def real(folder):
    """tdx, eventlog: real machines' quotes and log (nothing to judge without the vectors)"""
    del folder
    if not os.path.isdir(VECTORS):
        return
    quote = os.path.join(VECTORS, 'quotes', 'phala-sgx.v3.dat')
    fact = facts('check', 'tdx', quote, '--at', '1751000000', '--collateral',
                 os.path.join(VECTORS, 'collateral', 'phala-sgx_quote_collateral.json'))
    assert fact['tcb_status'] == 'ConfigurationAndSWHardeningNeeded', fact
    assert fact['advisories'] == ['INTEL-SA-00289', 'INTEL-SA-00615'], fact
    fact = facts('check', 'tdx', quote, '--at', '1790000000', '--collateral',
                 os.path.join(VECTORS, 'collateral', 'phala-sgx_quote_collateral.json'), status=1)
    assert 'expired at 2025-07-' in fact['reason'], fact  # the first of all that has expired
    log = os.path.join(VECTORS, 'eventlogs', 'google-cos113', 'ccel_data.trimmed.dat')
    quotes = os.path.join(VECTORS, 'quotes')
    fact = facts('check', 'eventlog', log, '--quote', os.path.join(quotes, 'google-cos113.v4.dat'))
    assert fact['verdict'] == 'ok' and len(fact['rtmr']) == 4, fact
    fact = facts('check', 'eventlog', log, '--quote', os.path.join(quotes, 'google-spr-e4.v4.dat'), status=1)
    assert fact['verdict'] == 'refused' and 'rtmr0' in fact['reason'], fact
    fact = facts('check', 'eventlog', quote, '--quote', quote, status=1)
    assert fact['verdict'] == 'refused' and fact['rtmr'] == [], fact


frame.main(history, patience, wrong, tdx, tdx_usage, foreign_pipes, jwt_names, jwt_claims, real)
