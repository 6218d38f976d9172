#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
#
# Tables of the ABI, made of the rows in the module's own sources, so that they cannot be out of date.
#
# As a Sphinx extension:	.. abi-table:: device|vm|vcpu|caps|vm-caps|missing|events|counters
#				.. abi-names:: device|vm|vcpu
# By hand:			Documentation/ext/abi_table.py [TABLE]
#
# What differs from KVM is said in abi-notes.txt beside this file: a name, blanks, the note.

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MODULE = os.path.join(TOP, 'module')

# Table: file, array, column headings.
TABLES = {
    'device': ('main.c', 'dev_ioctls'),
    'vm': ('vm.c', 'vm_ioctls'),
    'vcpu': ('vcpu.c', 'vcpu_ioctls'),
    'caps': ('main.c', 'caps'),
    'vm-caps': ('vm.c', 'vm_caps'),
}

# The other ioctls of <linux/kvm.h> that KVM has on x86, and why they are not here.
MISSING = {
    'KVM_GET_EMULATED_CPUID': 'no instruction is offered that only the emulator has',
    'KVM_SET_CPUID': 'the older form of KVM_SET_CPUID2',
    'KVM_CREATE_DEVICE': 'no PCI pass-through (VFIO), the only such device on x86',
    'KVM_SMI': 'no system management mode',
    'KVM_GET_NESTED_STATE': 'no nested virtualization',
    'KVM_SET_NESTED_STATE': 'no nested virtualization',
    'KVM_SET_PMU_EVENT_FILTER': 'no performance counters',
    'KVM_MEMORY_ENCRYPT_OP': 'no encrypted guests',
    'KVM_MEMORY_ENCRYPT_REG_REGION': 'no encrypted guests',
    'KVM_MEMORY_ENCRYPT_UNREG_REGION': 'no encrypted guests',
    'KVM_GET_SUPPORTED_HV_CPUID': 'no Hyper-V interface for guests',
    'KVM_HYPERV_EVENTFD': 'no Hyper-V interface for guests',
    'KVM_XEN_HVM_CONFIG': 'no Xen interface for guests',
    'KVM_XEN_HVM_GET_ATTR': 'no Xen interface for guests',
    'KVM_XEN_HVM_SET_ATTR': 'no Xen interface for guests',
    'KVM_XEN_HVM_EVTCHN_SEND': 'no Xen interface for guests',
    'KVM_XEN_VCPU_GET_ATTR': 'no Xen interface for guests',
    'KVM_XEN_VCPU_SET_ATTR': 'no Xen interface for guests',
}


def read(name):
    with open(os.path.join(MODULE, name), encoding='utf-8') as f:
        return f.read()


def array(text, name):
    """The text between the braces of an array's initializer."""
    m = re.search(r'\b%s\[\]\s*=\s*\{(.*?)^\};' % re.escape(name), text, re.S | re.M)
    if not m:
        raise ValueError('no array %s[]' % name)
    return re.sub(r'/\*.*?\*/', '', m.group(1), flags=re.S)


def rows(table):
    """The rows of a table, as lists of the texts between their commas."""
    name, arr = TABLES[table]
    found = []
    for m in re.finditer(r'\{\s*(\w+),\s*(.*?)\s*\},?', array(read(name), arr), re.S):
        found.append([m.group(1)] + [' '.join(p.split()) for p in m.group(2).split(',')])
    if not found:
        raise ValueError('no rows in %s of %s' % (arr, name))
    return found


def special_caps():
    """Capabilities whose value mhv_check_extension() works out."""
    return re.findall(r'case (\w*_CAP_\w+):\s*return (.*?);', read('main.c'), re.S)


def constants():
    found = {}
    for name in ('minihv.h', 'mem/mem.h', 'io/irqchip.h', '../uapi/linux/minihv.h'):
        found.update(re.findall(r'^#define\s+((?:MHV|MINIHV)_\w+)\s+(\d+)\b', read(name), re.M))
    return found


def notes():
    found = {}
    with open(os.path.join(HERE, 'abi-notes.txt'), encoding='utf-8') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                name, note = line.split(None, 1)
                found[name] = note.strip()
    return found


def argument(flags):
    """In words, what the dispatcher of ioctl.c does by the flags of a row."""
    words = set(re.findall(r'\w+', flags.replace('MHV_IOC_', '')))
    if 'ZERO' in words:
        return 'none; must be 0'
    if 'VALUE' in words:
        return 'a number'
    if 'USER' in words:
        return 'variable length'
    kinds = [kind for kind in ('IN', 'OUT') if kind in words]
    return {'IN': 'copied in', 'OUT': 'copied out', 'INOUT': 'copied in and out',
            '': 'none'}[''.join(kinds)]


def list_table(headings, widths, lines):
    out = ['.. list-table::', '   :header-rows: 1', '   :widths: ' + ' '.join(map(str, widths)), '']
    for cells in [headings] + lines:
        for i, cell in enumerate(cells):
            out.append(('   %s - %s' % ('*' if not i else ' ', cell)).rstrip())
    return out + ['']


def literal(text):
    return '``%s``' % text


def ioctl_table(table, note):
    lines = [[literal(r[0]), argument(r[1]), literal(r[2] + '()'), note.get(r[0], '')]
             for r in rows(table)]
    if table == 'vcpu':
        lines.insert(0, [literal('KVM_RUN'), 'none; must be 0', literal('mhv_vcpu_run()'),
                         note.get('KVM_RUN', '')])
    return list_table(['ioctl', 'argument', 'handler', 'note'], [32, 16, 24, 28], lines)


def cap_table(note):
    value = constants()
    lines = []
    for name, *rest in rows('caps') + [[n, ' '.join(v.split())] for n, v in special_caps()]:
        text = ', '.join(rest)
        shown = literal(text)
        if text in value:
            shown = '%s (%s)' % (value[text], literal(text))
        lines.append([literal(name), shown, note.get(name, '')])
    return list_table(['capability', 'value', 'note'], [34, 36, 30], lines)


def vm_cap_table(note):
    lines = [[literal(r[0]), literal(r[1] + '()'), note.get('enable:' + r[0], '')]
             for r in rows('vm-caps')]
    return list_table(['capability', 'handler', 'what it does'], [30, 28, 42], lines)


def missing_table():
    served = {r[0] for t in ('device', 'vm', 'vcpu') for r in rows(t)}
    lines = [[literal(name), why] for name, why in sorted(MISSING.items()) if name not in served]
    return list_table(['ioctl', 'why'], [40, 60], lines)


def events():
    """The tracepoints of trace.h: name and fields."""
    found = []
    for m in re.finditer(r'^TRACE_EVENT\((\w+),(.*?)^\);', read('trace.h'), re.S | re.M):
        fields = re.findall(r'__(?:field|string)\((?:[\w ]+,\s*)?(\w+)(?:,\s*\w+)?\)',
                            m.group(2).split('TP_fast_assign')[0])
        found.append((m.group(1), fields))
    return found


def event_table(note):
    lines = [[literal(name), ' '.join(fields), note.get('event:' + name, '')]
             for name, fields in events()]
    return list_table(['event', 'fields', 'when'], [24, 38, 38], lines)


def counters():
    return re.findall(r'COUNTER\((\w+)\)(?! \{)', read('stats.c'))


def counter_table(note):
    lines = [[name, note.get('counter:' + name, '')] for name in counters()]
    return list_table(['counter', 'counts'], [24, 76], lines)


def unknown_notes(note):
    """Names in the notes that no table has."""
    known = {r[0] for t in ('device', 'vm', 'vcpu', 'caps') for r in rows(t)}
    known |= {n for n, _ in special_caps()} | {'enable:' + r[0] for r in rows('vm-caps')}
    known.add('KVM_RUN')
    known |= {'event:' + name for name, _ in events()} | {'counter:' + c for c in counters()}
    return sorted(set(note) - known)


def make(table):
    note = notes()
    if table == 'caps':
        return cap_table(note)
    if table == 'vm-caps':
        return vm_cap_table(note)
    if table == 'missing':
        return missing_table()
    if table == 'events':
        return event_table(note)
    if table == 'counters':
        return counter_table(note)
    return ioctl_table(table, note)


def setup(app):
    from docutils import nodes
    from docutils.parsers.rst import Directive
    from docutils.statemachine import StringList
    from sphinx.util import logging

    class Table(Directive):
        required_arguments = 1

        def lines(self):
            return make(self.arguments[0])

        def run(self):
            env = self.state.document.settings.env
            for name in os.listdir(MODULE):
                if name in ('main.c', 'vm.c', 'vcpu.c', 'trace.h', 'stats.c'):
                    env.note_dependency(os.path.join(MODULE, name))
            env.note_dependency(os.path.join(HERE, 'abi-notes.txt'))
            node = nodes.section()
            node.document = self.state.document
            self.state.nested_parse(StringList(self.lines(), source='abi_table'), 0, node)
            return node.children

    class Names(Table):
        def lines(self):
            names = [r[0] for r in rows(self.arguments[0])]
            if self.arguments[0] == 'vcpu':
                names.insert(0, 'KVM_RUN')
            return [', '.join(literal(n) for n in names) + '.']

    def check(app):
        for name in unknown_notes(notes()):
            logging.getLogger(__name__).warning('abi-notes.txt: no table has %s', name)

    app.add_directive('abi-table', Table)
    app.add_directive('abi-names', Names)
    app.connect('builder-inited', check)
    return {'parallel_read_safe': True}


if __name__ == '__main__':
    for arg in sys.argv[1:] or list(TABLES) + ['missing', 'events', 'counters']:
        print('\n'.join(make(arg)))
