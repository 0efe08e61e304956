# Copyright (c) mmdckd contributors. All rights reserved.
"""How Sphinx builds the documentation: see `make docs`."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import mmdckd

project = 'mmdckd'
copyright = 'mmdckd contributors'
version = release = mmdckd.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
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
html_math_renderer = 'mathml'
html_static_path = ['static']
html_css_files = ['tables.css']


def visit_math(self, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_math_block(self, node: nodes.math_block) -> None:
    self.body.append(
        f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>'
    )
    raise nodes.SkipNode


def setup(app) -> None:
    # MathJax would need the network; browsers draw MathML themselves.
    app.add_html_math_renderer('mathml', (visit_math, None), (visit_math_block, None))
