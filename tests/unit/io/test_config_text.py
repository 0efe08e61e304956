# Copyright (c) mmdckd contributors. All rights reserved.
import keyword
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmdckd.io.config_text import parse_config_text

names = st.from_regex(r'[a-z][a-z0-9_]{0,6}', fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and not hasattr(dict, name)
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec='ascii'), max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(names, inner, max_size=3),
        st.dictionaries(st.text('ab.-:0', min_size=1, max_size=4), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, values, max_size=4))
def test_it_reads_what_mmengine_writes(content):
    text = Config(content).pretty_text
    assert parse_config_text(text).to_dict() == Config(content).to_dict()
    assert parse_config_text(text).to_dict() == Config.fromstring(text, '.py').to_dict()


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "model = dict(type=open('x'))",
        'model = __import__("os").getcwd()',
        'a = [i for i in range(3)]',
        'a.b = 1',
        'a[0] = 1',
        'model = dict(**{"a": 1}, b=c)',
        'a = <class>',
    ],
)
def test_it_runs_nothing(text):
    with pytest.raises(ValueError, match='not run'):
        parse_config_text(text)


@pytest.mark.parametrize(
    'text',
    [
        '1+' * 10**5 + '1',
        'b' + '.c' * 10**5,
        'b' + '()' * 10**5,
        'b' + '[0]' * 10**5,
        '-' * 10**5 + '1',
        '[' * 10**5 + ']' * 10**5,
        'not ' * 10**5 + '1',
        '[' * 150 + ']' * 150 + '+1',
    ],
)
def test_deep_nesting_does_not_end_the_process(text):
    """mmrazor raises the limit of recursion to a million."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(2**20)
    try:
        with pytest.raises(ValueError, match='not run'):
            parse_config_text(f'a = {text}')
        assert sys.getrecursionlimit() == 2**20
    finally:
        sys.setrecursionlimit(before)


def test_a_text_has_an_upper_bound():
    with pytest.raises(ValueError, match='at most 2,000,000 characters'):
        parse_config_text('a = 1\n' * 400000)


@pytest.mark.parametrize('number', [float('inf'), -float('inf'), float('nan')])
def test_numbers_that_are_not_finite(number):
    text = Config(dict(clip_grad=dict(norm_type=number))).pretty_text
    assert repr(parse_config_text(text).clip_grad.norm_type) == repr(number)


@pytest.mark.parametrize('text', ['a = not inf', 'a = ~nan', 'a = infinity'])
def test_other_names_and_operators_are_not_run(text):
    with pytest.raises(ValueError, match='not run'):
        parse_config_text(text)
