# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from mmdckd.sweep.spec import load_spec


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('kd.py', 'dckd.py', 'teacher.py', 'pair.py'):
        (tmp_path / name).write_text('')

    def load(text, file='spec.yaml'):
        (tmp_path / file).write_text(text)
        return load_spec(file)

    return load


SHORT = """
name: short
seeds: [3, 1]
methods:
  kd: {config: kd.py}
"""


def test_the_shortest_spec(load):
    spec = load(SHORT)
    assert (spec.path, spec.name, spec.about) == ('spec.yaml', 'short', '')
    assert spec.seeds == (3, 1)
    assert spec.metric == 'accuracy/top1'
    assert spec.compare_with == ('kd',)
    assert spec.teachers == {} and spec.pairs == ('',)
    (method,) = spec.methods
    assert (method.name, method.pair, method.group) == ('kd', '', '')
    assert method.figure == 'mean' and method.teacher is None
    assert method.recipe.configs == ('kd.py',)
    assert method.recipe.cfg_options == ({}, {})


def test_kd_and_dml_are_compared_with_if_they_are_there(load):
    others = '  dckd: {config: dckd.py}\n  dml: {config: kd.py}\n'
    assert load(SHORT + others).compare_with == ('kd', 'dml')


def test_every_method_is_run_for_every_pair(load):
    spec = load("""
name: pairs
seeds: [0]
_wide: &wide {model.width: 8, model.depth: 20}
teachers:
  small: {config: teacher.py, seed: 7}
  large: {config: teacher.py, seed: each, cfg_options: {model.depth: 50}}
pairs:
  a: {config: pair.py, teacher: small, cfg_options: *wide}
  b: {teacher: large}
methods:
  kd: {config: kd.py, cfg_options: {model.width: 4}, figure: first}
  dckd: {config: [kd.py, dckd.py], figure: ensemble, group: dckd}
  own: {config: kd.py, teacher: small}
""")
    assert spec.pairs == ('a', 'b')
    assert spec.teachers['small'].seed == 7
    assert spec.teachers['large'].seed == 'each'
    assert spec.teachers['large'].recipe.cfg_options == ({'model.depth': 50},)
    found = [(m.pair, m.name, m.teacher) for m in spec.methods]
    assert found == [
        ('a', 'kd', 'small'),
        ('a', 'dckd', 'small'),
        ('a', 'own', 'small'),
        ('b', 'kd', 'large'),
        ('b', 'dckd', 'large'),
        ('b', 'own', 'small'),
    ]
    kd, dckd = spec.methods[:2]
    assert kd.recipe.configs == ('pair.py', 'kd.py')
    wide = {'model.width': 8, 'model.depth': 20}
    assert kd.recipe.cfg_options == (wide, {'model.width': 4})
    assert dckd.recipe.configs == ('pair.py', 'kd.py', 'dckd.py')
    assert (kd.figure, dckd.figure, dckd.group) == ('first', 'ensemble', 'dckd')


def test_a_method_of_some_pairs_is_run_for_these(load):
    spec = load("""
name: tuned
seeds: [0]
pairs:
  a: {config: pair.py}
  b: {config: pair.py}
  c: {config: pair.py}
methods:
  slow: {config: kd.py, pairs: [c, a]}
  fast: {config: kd.py, pairs: [b]}
  dckd: {config: dckd.py}
compare_with: [slow, fast]
""")
    assert [(method.pair, method.name) for method in spec.methods] == [
        ('a', 'slow'),
        ('a', 'dckd'),
        ('b', 'fast'),
        ('b', 'dckd'),
        ('c', 'slow'),
        ('c', 'dckd'),
    ]


def test_a_spec_can_be_python(load):
    spec = load(
        """
name = 'tau'
seeds = list(range(5))
compare_with = ['tau 1']
methods = {
    f'tau {tau}': dict(config='kd.py', cfg_options={'model.tau': tau})
    for tau in (1, 2, 4)
}
""",
        'spec.py',
    )
    assert spec.compare_with == ('tau 1',)
    assert [m.recipe.cfg_options for m in spec.methods] == [
        ({}, {'model.tau': 1}),
        ({}, {'model.tau': 2}),
        ({}, {'model.tau': 4}),
    ]


@pytest.mark.parametrize(
    'change, message',
    [
        (('seeds', 'seed'), '`seed`: .* Did you mean .seeds.?'),
        (('seeds: [3, 1]', ''), '`seeds`: expected a value'),
        (('[3, 1]', '[]'), '`seeds`: .* got \\[\\]'),
        (('[3, 1]', '[1, 1]'), '`seeds`: .* got \\[1, 1\\]'),
        (('[3, 1]', '[-1]'), '`seeds`: .* got \\[-1\\]'),
        (('[3, 1]', '[true]'), '`seeds`: .* got \\[True\\]'),
        (('[3, 1]', '5'), '`seeds`: .* got 5'),
        (
            ('{config: kd.py}', '{config: kd.py, cfg_option: {a: 1}}'),
            '`methods.kd.cfg_option`: .* Did you mean .cfg_options.?',
        ),
        (
            ('{config: kd.py}', '{config: kd.py, cfg_options: a=1}'),
            "`methods.kd.cfg_options`: .* got 'a=1'",
        ),
        (
            ('{config: kd.py}', '{config: kd.py, figure: worst}'),
            "`methods.kd.figure`: .* got 'worst'",
        ),
        (
            ('{config: kd.py}', '{config: kd.py, teacher: tim}'),
            "`methods.kd.teacher`: expected one of \\[\\], got 'tim'",
        ),
        (('{config: kd.py}', '{}'), '`methods.kd.config`: expected the path'),
        (('{config: kd.py}', 'kd.py'), '`methods`: expected names and their settings'),
        (('  kd: {config: kd.py}', '  {}'), '`methods`: expected at least one'),
        (
            ('methods:', 'compare_with: [dml]\nmethods:'),
            "`compare_with`: expected names among \\['kd'\\], got 'dml'",
        ),
        (
            ('methods:', 'teachers: {t: {seed: 1}}\nmethods:'),
            '`teachers.t.config`: expected a value',
        ),
        (
            ('methods:', 'teachers: {t: {config: kd.py, seed: all}}\nmethods:'),
            "`teachers.t.seed`: .* got 'all'",
        ),
        (
            ('methods:', 'pairs: {p: {teacher: tim}}\nmethods:'),
            "`pairs.p.teacher`: .* got 'tim'",
        ),
        (('name: short', 'name: short\nabout: 5'), '`about`: expected text, got 5'),
        (('name: short', 'name: short\nmetric: [a]'), "`metric`: .* got \\['a'\\]"),
        (('methods:', 'compare_with: kd\nmethods:'), "`compare_with`: .* got 'kd'"),
        (('  kd:', '  4:'), '`methods`: expected names and their settings'),
        (('kd.py}', '[kd.py, 5]}'), '`methods.kd.config`: .* got .*5'),
        (('{config: kd.py}', '{config: 5}'), '`methods.kd.config`: .* got 5'),
        (('kd.py}', 'kd.py, group: 5}'), '`methods.kd.group`: .* got 5'),
        (('kd.py}', 'kd.py, teacher: [a]}'), "`methods.kd.teacher`: .* got \\['a'\\]"),
        (
            ('kd.py}', 'kd.py, pairs: [q]}\npairs: {p: {}}'),
            r"`methods.kd.pairs`: expected names among \['p'\], got \['q'\]",
        ),
        (('kd.py}', 'kd.py, pairs: p}\npairs: {p: {}}'), "kd.pairs`: .* got 'p'"),
        (('kd.py}', 'kd.py, pairs: []}\npairs: {p: {}}'), r'kd.pairs`: .* got \[\]'),
        (('kd.py}', 'kd.py, pairs: [p]}'), r"kd.pairs`: .* got \['p'\]"),
        (
            ('methods:', 'pairs: {p: {students: 2}}\nmethods:'),
            'Invalid `pairs.p.students`',
        ),
    ],
)
def test_what_does_not_fit_is_named(load, change, message):
    with pytest.raises(ValueError, match=message):
        load(SHORT.replace(*change))


@pytest.mark.parametrize(
    'text, message',
    [
        (SHORT + '  kd: {config: dckd.py}\n', r'`methods\.kd`: .* lines 5 and 6'),
        (SHORT + 'name: long\n', '`name`: .* lines 2 and 6 of spec.yaml'),
        (SHORT + 'about: {a: 1, a: 2}\n', r'`about\.a`: .* lines 6 and 6'),
        (SHORT + 'about: "\n', 'expected a YAML file'),
    ],
)
def test_no_key_of_a_yaml_file_is_lost(load, text, message):
    with pytest.raises(ValueError, match=message):
        load(text)


def test_the_same_key_in_two_places_is_no_fault(load):
    spec = load(SHORT.replace('{config', '&kd {config') + '  other: *kd\n')
    assert [method.name for method in spec.methods] == ['kd', 'other']


def test_a_file_that_is_not_there_is_named(load):
    with pytest.raises(FileNotFoundError, match="`methods.kd.config`: .* 'no.py'"):
        load(SHORT.replace('kd.py', 'no.py'))
    with pytest.raises(FileNotFoundError, match="sweep: .* 'no.yaml'"):
        load_spec('no.yaml')
