#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
#
# Does the documentation name what is not there? In each literal of README.rst and Documentation/:
#
#   module/run.c, scripts/check	a file, or a pattern that some file matches
#   module/run.c:run_once()	a function that this file has
#   run_once()			a function that some source file has
#   mhv_request, MHV_REQ_EVENT	a word that the sources have; with * at its end, a word so begun
#   vm->srcu, mem.slots		with ->: the last word is one that the sources have
#
# As a Sphinx extension it runs before each build and warns. By hand: Documentation/ext/check_names.py

import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
DIRS = ('module', 'uapi', 'userspace-vmm', 'selftests', 'scripts', 'Documentation', '.ci')
SOURCE = re.compile(r'\.(c|h|S|asl|py|sh)$|^[^.]*$|Makefile$')
# What a build makes, or an example that the reader is to write.
MADE = re.compile(r'^(module/minihv\.ko|userspace-vmm/(minivmm|build.*)|selftests/build/.*|'
                  r'Documentation/_build.*|module/vmx/?.*)$')


def tree():
    for top in DIRS:
        for path, dirs, files in os.walk(os.path.join(TOP, top)):
            dirs[:] = [d for d in dirs if d not in ('build', 'build-asan', '_build', '__pycache__')]
            for name in files:
                yield os.path.join(path, name)


def text_of(path):
    try:
        with open(path, encoding='utf-8') as f:
            return f.read()
    except (UnicodeDecodeError, OSError):
        return ''


def sources():
    """Path from the top, and text, of every source file."""
    found = {}
    for path in tree():
        name = os.path.relpath(path, TOP)
        if SOURCE.search(os.path.basename(path)) and not name.startswith('Documentation/'):
            found[name] = text_of(path)
    return found


def documents():
    yield os.path.join(TOP, 'README.rst')
    for path in tree():
        if path.endswith('.rst') and '/Documentation/' in path:
            yield path


class Checker:
    def __init__(self):
        self.sources = sources()
        self.words = set()
        for text in self.sources.values():
            self.words.update(re.findall(r'\w+', text))

    def has_word(self, word):
        if word.endswith('*'):
            return any(w.startswith(word[:-1]) for w in self.words)
        return word in self.words

    def has_file(self, name):
        return MADE.match(name) or glob.glob(os.path.join(TOP, name))

    def is_function(self, name):
        return any(re.search(r'\b%s\b' % name, text) for text in self.sources.values())

    def complaint(self, literal):
        """What is wrong with a literal, or None."""
        m = re.fullmatch(r'([\w./-]+\.\w+):(\w+)(\(\))?', literal)
        if m and '/' in m.group(1):
            text = self.sources.get(m.group(1))
            if text is None:
                return 'no file %s' % m.group(1)
            if not re.search(r'\b%s\b' % m.group(2), text):
                return '%s has no %s' % (m.group(1), m.group(2))
            return None
        m = re.fullmatch(r'((?:%s)/[\w./*-]*)' % '|'.join(re.escape(d) for d in DIRS), literal)
        if m:
            return None if self.has_file(m.group(1)) else 'no file %s' % literal
        m = re.fullmatch(r'(\w+)\(\)', literal)
        if m:
            return None if self.has_word(m.group(1)) else 'no function %s()' % m.group(1)
        m = re.fullmatch(r'(?:\w+->)+(?:\w+\.)*(\w+)', literal)
        if m:
            return None if m.group(1) in self.words else 'no member %s' % m.group(1)
        if re.fullmatch(r'(?:mhv|MHV|svm|MINIHV|EMUL|emul)_\w+\*?', literal):
            return None if self.has_word(literal) else 'no word %s' % literal
        return None

    def check(self):
        """Complaints, as (path, line, words)."""
        for path in documents():
            lines = text_of(path).split('\n')
            for number, line in enumerate(lines, 1):
                for literal in re.findall(r'(?<!`)``([^`]+)``(?!`)', line):
                    words = self.complaint(literal)
                    if words:
                        yield os.path.relpath(path, TOP), number, words


def setup(app):
    from sphinx.util import logging

    def check(app):
        for path, line, words in Checker().check():
            logging.getLogger(__name__).warning('%s', words,
                                                location='%s:%d' % (os.path.join(TOP, path), line))

    app.connect('builder-inited', check)
    return {'parallel_read_safe': True}


if __name__ == '__main__':
    bad = ['%s:%d: %s' % found for found in Checker().check()]
    print('\n'.join(bad), end='\n' if bad else '')
    sys.exit(bool(bad))
