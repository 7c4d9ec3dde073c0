#!/usr/bin/env python3
"""check: foreign data, judged through the program.

  test_check.py PROGRAM

Speaks TAP.
"""
import json
import os

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


frame.main(history, patience, wrong)
