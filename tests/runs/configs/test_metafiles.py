# Copyright (c) mmdckd contributors. All rights reserved.
"""What MIM and MMPretrain read of the project: configs that exist, numbers
that were run here."""

from pathlib import Path

import pytest
import yaml
from modelindex.load_model_index import load

from helpers.paths import ROOT
from mmdckd.sweep.results import Results, figure_of
from mmdckd.sweep.spec import load_spec
from mmdckd.sweep.statistics import summarize

INDEX = ROOT / 'model-index.yml'
IMPORTS = yaml.safe_load(INDEX.read_text())['Import']
TOP1 = 'Top 1 Accuracy'
#: The two numbers that are known of the paper.
PAPERS = {72.27, '+6.55 points'}


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def metafile(path):
    return yaml.safe_load((ROOT / path).read_text())


def models():
    return [
        (model['Name'], model) for path in IMPORTS for model in metafile(path)['Models']
    ]


def values_of(cfg, key):
    """All values of a key, however deep."""
    if isinstance(cfg, dict):
        for name, value in cfg.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(cfg, list):
        for value in cfg:
            yield from values_of(value, key)


def records_of(sweep, config, role='method'):
    """What came out of the runs of a config, by seed."""
    spec = load_spec(sweep)
    results = Results(f'docs/results/{spec.name}/results.jsonl')
    recipes = {m.name: m.recipe for m in spec.methods}
    recipes = (
        recipes
        if role == 'method'
        else {name: teacher.recipe for name, teacher in spec.teachers.items()}
    )
    names = [n for n, r in recipes.items() if r.configs == (config,)]
    return {
        record['seed']: record
        for record in results.records
        if record['role'] == role and record['name'] in names
    }, spec.metric


def top1_of(records, metric):
    return summarize(
        [
            figure_of(record, record['last']['test'], metric, 'mean')
            for record in records.values()
        ]
    ).mean


def test_every_metafile_is_listed():
    found = {str(p.relative_to(ROOT)) for p in ROOT.glob('configs/**/*.yml')}
    assert found == set(IMPORTS)


def test_mmpretrain_can_read_the_index():
    index = load(str(INDEX))
    index.build_models_with_collections()
    # It looks for pages from the metafile on, where OpenMMLab names them from
    # the root on.
    errors = [e for e in index.check(silent=True) if 'README' not in e]
    assert not errors
    names = [model.name for model in index.models]
    assert len(names) == len(set(names)) == len(models())


@pytest.mark.parametrize('path', IMPORTS)
def test_what_it_names_exists(path):
    content = metafile(path)
    for collection in content['Collections']:
        assert (ROOT / collection['README']).parent == (ROOT / path).parent
        assert (ROOT / collection['README']).is_file()
    named = {c['Name'] for c in content['Collections']}
    for model in content['Models']:
        assert model['In Collection'] in named
        config = Path(model['Config'])
        # By this name MIM finds the config.
        assert config.stem == model['Name']
    for config in values_of(content, 'Config'):
        assert (ROOT / config).is_file(), config


@pytest.mark.parametrize('name, model', models())
def test_numbers_are_those_of_committed_results(name, model):
    meta = model['Metadata']
    numbers = list(values_of(model, TOP1))
    if 'Sweep' not in meta:
        assert not numbers and 'Results' not in model
        return
    (result,) = model['Results']
    records, metric = records_of(meta['Sweep'], model['Config'])
    first = next(iter(records.values()))
    assert len(records) == meta['Runs']
    assert first['last']['epoch'] == meta['Epochs']
    assert first['parameters'] == meta['Parameters']
    assert len(first['students']) == meta['Students']
    assert result['Metrics'][TOP1] == round(top1_of(records, metric), 2)
    for role, other in (('method', 'Student'), ('teacher', 'Teacher')):
        if other in meta:
            records, metric = records_of(meta['Sweep'], meta[other]['Config'], role)
            assert meta[other]['Metrics'][TOP1] == round(top1_of(records, metric), 2), (
                other
            )
    assert len(numbers) == 1 + sum(x in meta for x in ('Student', 'Teacher'))


def test_numbers_of_the_paper_are_marked():
    for path in IMPORTS:
        for collection in metafile(path)['Collections']:
            reported = collection.get('Metadata', {})
            assert set(reported) <= {'Reported by the Paper'}
            numbers = [
                value
                for entry in reported.get('Reported by the Paper', [])
                for key, value in entry.items()
                if key.startswith(TOP1)
            ]
            assert set(numbers) == (PAPERS if collection['Name'] == 'DCKD' else set())
