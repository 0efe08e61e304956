# Copyright (c) mmdckd contributors. All rights reserved.
"""How Sphinx builds the documentation: see `make docs`."""

import mmdckd

project = 'mmdckd'
copyright = 'mmdckd contributors'
version = release = mmdckd.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
]
exclude_patterns = ['_build', 'results']
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'mmdckd {version}'
