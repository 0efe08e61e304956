# Copyright (c) mmdckd contributors. All rights reserved.
"""The pages that `make docs` has built can be read in 800 pixels."""

import pytest

from helpers import browser
from helpers.paths import DOCS

HTML = DOCS / '_build' / 'html'
PAGES = sorted(
    path
    for path in HTML.rglob('*.html')
    if (DOCS / path.relative_to(HTML)).with_suffix('.md').is_file()
)
#: What is wider than its place and cannot be scrolled.
TOO_WIDE = """
[...document.querySelectorAll('article table, article pre, article img')]
    .filter(each => each.getBoundingClientRect().right > 800)
    .filter(each => !each.closest('.table-wrapper, .highlight'))
    .map(each => each.outerHTML.slice(0, 80))
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGES, reason='make docs has not run'),
    pytest.mark.skipif(browser.PATH is None, reason='no browser'),
]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp('profile')) as opened:
        yield opened


@pytest.mark.parametrize('path', PAGES, ids=lambda path: str(path.relative_to(HTML)))
def test_a_page_fits_into_800_pixels(path, page):
    page.open(path, width=800)
    assert page.evaluate('document.documentElement.scrollWidth') <= 800
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate('[...document.images].every(each => each.alt)')
    assert all(url.startswith(('file:', 'data:')) for url in page.requested())
