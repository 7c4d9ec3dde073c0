#!/usr/bin/env python3
"""Finds every datum type that the tree defines and writes the table of its fuzz targets.

  list_types.py OUT FOLDER...

A definition is MK_STRUCT_DEFINE(name, ...) or MK_ENUM_DEFINE(name, ...).
"""
import os
import re
import sys

DEFINE = re.compile(r'^MK_(?:STRUCT|ENUM)_DEFINE\(\s*(\w+)\s*,', re.M)


def main():
    out, folders = sys.argv[1], sys.argv[2:]
    names = set()
    for folder in folders:
        for directory, _, files in os.walk(folder):
            for name in files:
                if name.endswith(('.c', '.h')):
                    with open(os.path.join(directory, name), encoding='utf-8') as f:
                        names.update(DEFINE.findall(f.read()))
    if not names:
        sys.exit('list_types: no type found in ' + ' '.join(folders))
    rows = ''.join(f' \\\n    X({name})' for name in sorted(names))
    text = f'/* written by list_types.py */\n#define FUZZ_DATUM_TABLE(X){rows}\n'
    if os.path.exists(out):
        with open(out, encoding='utf-8') as f:
            if f.read() == text:
                return
    with open(out, 'w', encoding='utf-8') as f:
        f.write(text)


main()
