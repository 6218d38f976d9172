# SPDX-License-Identifier: GPL-2.0
#
# The documentation of minihv, for Sphinx 5 and later. `make docs` builds it as HTML, with warnings
# as errors; `make install` builds the manual pages.

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'ext'))

project = 'minihv'
copyright = 'the minihv developers; GPL-2.0'
author = 'the minihv developers'

# abi_table makes tables of the source's own; check_names finds names that the source does not have.
extensions = ['abi_table', 'check_names']

root_doc = 'index'
exclude_patterns = ['_build']
highlight_language = 'none'
smartquotes = False

html_theme = 'alabaster'
html_theme_options = {
    'description': "A hypervisor that speaks KVM's ABI",
    'page_width': '1040px',
    'sidebar_width': '240px',
    'fixed_sidebar': True,
}
html_show_copyright = False
html_copy_source = False

man_pages = [
    ('man/minihv', 'minihv', "hypervisor that speaks KVM's ABI", '', 4),
    ('man/minivmm', 'minivmm', 'boot a Linux kernel in a virtual machine', '', 1),
]
