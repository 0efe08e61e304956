# Copyright (c) mmdckd contributors. All rights reserved.
"""Relative links lead to files and to headings in them; figures have a text."""

import re

import pytest

from helpers.paths import CONFIGS, DOCS, ROOT

GENERATED = {'config_keys.md', 'command_line.md'}
FILES = [
    path
    for path in [*ROOT.glob('*.md'), *CONFIGS.rglob('*.md'), *DOCS.rglob('*.md')]
    if '_build' not in path.parts and path.name not in GENERATED
]


def without_code(path):
    return re.sub(r'^```.*?^```$', '', path.read_text(), flags=re.M | re.S)


def anchors(path):
    """The anchors that GitHub and Sphinx give to the headings of a page."""
    headings = re.findall(r'^#{1,3} (.*)$', without_code(path), re.M)
    slugs = [
        re.sub(r'[^\w\- ]', '', each.lower()).replace(' ', '-') for each in headings
    ]
    return {
        slug if not slugs[:i].count(slug) else f'{slug}-{slugs[:i].count(slug)}'
        for i, slug in enumerate(slugs)
    }


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_have_a_text_as_figures_have(path):
    text = re.sub(r'`[^`]*`', 'code', without_code(path))
    for label, target in re.findall(r'\[([^\]]*)\]\(([^)\s]+)\)', text):
        # Sphinx fills in a title, GitHub shows nothing.
        assert label, f'{target} has no text'
        file, _, anchor = target.partition('#')
        if '://' in file or file.startswith('mailto:'):
            continue
        if file.rpartition('/')[2] in GENERATED:
            continue
        page = path.parent / file if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def test_the_anchors_of_a_page():
    assert anchors(DOCS / 'explanation' / 'method.md') >= {'the-method', 'collectors'}
    assert 'glyph62_few' in anchors(DOCS / 'reference' / 'benchmark.md')
