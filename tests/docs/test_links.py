# Copyright (c) mmdckd contributors. All rights reserved.
"""Relative links of the Markdown files lead to files; figures have a text."""

import re

import pytest

from helpers.paths import CONFIGS, DOCS, ROOT

GENERATED = {'config_keys.md', 'command_line.md'}
FILES = [
    path
    for path in [*ROOT.glob('*.md'), *CONFIGS.rglob('*.md'), *DOCS.rglob('*.md')]
    if '_build' not in path.parts and path.name not in GENERATED
]


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_figures_have_a_text(path):
    text = re.sub(r'^```.*?^```$', '', path.read_text(), flags=re.M | re.S)
    text = re.sub(r'`[^`]*`', '', text)
    for mark, label, target in re.findall(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)', text):
        assert label or not mark, f'{target} has no alternative text'
        file = target.partition('#')[0]
        if file and '://' not in file and not file.startswith('mailto:'):
            found = (path.parent / file).exists()
            assert found or file.rpartition('/')[2] in GENERATED, target
