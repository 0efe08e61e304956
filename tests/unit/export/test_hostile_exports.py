# Copyright (c) mmdckd contributors. All rights reserved.
"""A checkpoint from elsewhere plants no code in what is exported of it, and
writes nowhere else."""

import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from helpers.paths import STUDIES
from mmdckd.export import export_student


@pytest.fixture(scope='module')
def fuzz():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(STUDIES / 'stress')
        import fuzz_exports

        yield fuzz_exports


def hostile(run, path, change):
    content = torch.load(f'{run.work_dir}/epoch_2.pth', weights_only=True)
    change(content)
    torch.save(content, path)
    return str(path)


def deep(value, levels):
    return deep({'a': value}, levels - 1) if levels else value


def rename(content, name):
    content['state_dict'] = {
        key.replace('students.student0.', f'students.{name}.'): value
        for key, value in content['state_dict'].items()
    }


def test_a_key_of_the_config_is_no_code(run, tmp_path):
    trace = tmp_path / 'trace'
    plant = f"a': 0}}\nopen({str(trace)!r}, 'w')\nb = {{'c"

    def change(content):
        del content['meta']['students']
        text = content['meta']['cfg']
        neck = r"neck=dict\(\s*type='GlobalAveragePooling'\s*\)"
        assert re.search(neck, text)
        planted = f"neck={{'type': 'GlobalAveragePooling', {plant!r}: 1}}"
        content['meta']['cfg'] = re.sub(neck, lambda _: planted, text)

    path = hostile(run, tmp_path / 'hostile.pth', change)
    with pytest.raises(ValueError, match=r'Invalid key in `model\.neck`'):
        export_student(path, str(tmp_path / 'out'), 'student0')
    assert not (tmp_path / 'out').exists() and not trace.exists()


def test_text_of_the_config_is_no_code(run, tmp_path, monkeypatch):
    """Nor is it replaced by file names or the environment."""
    monkeypatch.setenv('PLANTED', "'+str(open('planted', 'w'))+'")
    text = "'\n{{ fileDirname }} {{$PLANTED:x}} {{ _base_.model }}"
    cfg = Config(run.cfg.to_dict())
    cfg.test_dataloader.dataset.update(
        type='CustomDataset', data_root=text, _scope_='mmpretrain'
    )
    done = export_student(f'{run.work_dir}/epoch_2.pth', str(tmp_path), 'student0', cfg)
    monkeypatch.chdir(tmp_path)
    read = Config.fromfile(done.config)
    assert read.test_dataloader.dataset.data_root == text
    assert read.load_from == done.checkpoint
    meta = torch.load(done.checkpoint, weights_only=True)['meta']
    read = Config.fromstring(meta['cfg'], '.py')
    assert read.test_dataloader.dataset.data_root == text
    assert not (tmp_path / 'planted').exists()


@pytest.mark.parametrize(
    'name',
    ['a\nprint(1)', '/etc/a', '{folder}/elsewhere', 'a/b', '-a', 'teacher', 'a' * 300],
)
def test_a_student_is_called_what_a_config_could_say(run, tmp_path, name):
    name = name.format(folder=tmp_path)
    path = hostile(run, tmp_path / 'hostile.pth', lambda content: rename(content, name))
    before = set(tmp_path.rglob('*'))
    with pytest.raises(ValueError, match='Invalid'):
        export_student(path, str(tmp_path / 'out'), name)
    assert set(tmp_path.rglob('*')) == before


def test_the_name_of_the_file_is_no_code(run, tmp_path):
    path = hostile(
        run, tmp_path / "a\nopen('planted', 'w')\n.pth", lambda content: None
    )
    done = export_student(path, str(tmp_path / 'out'), 'student0')
    text = Path(done.config).read_text()
    assert "# It is student0 of a?open('planted', 'w')?.pth.\n" in text
    assert Config.fromfile(done.config).default_scope == 'mmpretrain'


@pytest.mark.parametrize('name', ["it's", 'a\\b', '{{ fileBasename }}', 'a\nb'])
def test_a_folder_that_mmengine_cannot_write_down_is_refused(run, tmp_path, name):
    with pytest.raises(ValueError, match='Invalid `out_dir`'):
        export_student(f'{run.work_dir}/epoch_2.pth', str(tmp_path / name), 'student0')


@pytest.mark.parametrize(
    'cfg_path',
    [
        '{evil}',
        'mmpretrain::{evil}',
        'mmpretrain::../../../{evil}',
        'evil_package::a.py',
    ],
)
def test_a_config_that_a_checkpoint_names_is_not_run(run, tmp_path, cfg_path):
    evil, trace = tmp_path / 'evil.py', tmp_path / 'trace'
    evil.write_text(f'open({str(trace)!r}, "w")\nmodel = dict()')
    cfg_path = cfg_path.format(evil=evil)

    def change(content):
        del content['meta']['students']
        content['meta']['cfg'] = 'model = ' + repr(
            dict(architecture=dict(cfg_path=cfg_path), num_students=2)
        )

    path = hostile(run, tmp_path / 'hostile.pth', change)
    with pytest.raises(ValueError):
        export_student(path, str(tmp_path / 'out'), 'student0')
    assert not trace.exists()


@pytest.mark.parametrize(
    'students, message',
    [
        ('evil.py', 'Invalid `meta.students`'),
        (['student0'], 'Invalid `meta.students`'),
        (dict(student0='evil.py'), 'Invalid `meta.students`'),
        (dict(student0=dict(cfg_path='evil.py')), 'Invalid `meta.students`'),
        (dict(student0={'a = 1': 0}), r'Invalid key in `meta\.students\.student0`'),
        (dict(student0=dict(a=torch.ones(1))), r'Invalid `meta\.students\.student0\.a'),
        (dict(student0=deep({}, 99)), 'levels of nesting'),
        (dict(student0=dict(type='os.system')), r'model\.students\.student0\.type'),
        (
            dict(student0=dict(type='ImageClassifier', _scope_='evil_module')),
            r'model\.students\.student0\._scope_',
        ),
        (dict(student0=dict(type='ImageClassifier')), 'a student that can be built'),
        (dict(student0={}), 'expected `cfg_path`'),
    ],
)
def test_what_a_checkpoint_says_of_its_students_is_no_code(
    run, tmp_path, students, message
):
    def change(content):
        content['meta']['students'] = students

    path = hostile(run, tmp_path / 'hostile.pth', change)
    with pytest.raises(ValueError, match=message):
        export_student(path, str(tmp_path / 'out'), 'student0')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'change',
    [
        dict(type='evil_module'),
        dict(type='mmpretrain.evil'),
        dict(_scope_='evil_module'),
    ],
)
def test_a_module_that_a_checkpoint_names_is_not_imported(
    run, tmp_path, change, monkeypatch
):
    trace = tmp_path / 'trace'
    for name in ('__init__', 'registry'):
        file = tmp_path / 'evil_module' / f'{name}.py'
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'open({str(trace)!r}, "w")')
    monkeypatch.syspath_prepend(tmp_path)

    def replace(content):
        del content['meta']['students']
        content['meta']['cfg'] = 'model = ' + repr(
            dict(
                architecture=dict(
                    dict(type='ImageClassifier', backbone=dict(type='ResNet')), **change
                )
            )
        )

    path = hostile(run, tmp_path / 'hostile.pth', replace)
    with pytest.raises(ValueError, match=r'model\.architecture'):
        export_student(path, str(tmp_path / 'out'), 'student0')
    assert not trace.exists()


def test_hostile_checkpoints(fuzz, tmp_path):
    result = fuzz.fuzz(30, 1, str(tmp_path))
    assert not result['failures']
    assert result['outcomes']['exported'] and result['outcomes']['refused']


@pytest.mark.slow
def test_many_hostile_checkpoints(fuzz, tmp_path):
    assert not fuzz.fuzz(500, 0, str(tmp_path))['failures']


def test_the_fuzzer_finds_code(fuzz, tmp_path, monkeypatch):
    """It tells what is run, and what is written elsewhere."""

    def export(checkpoint, out, student):
        if 'name' in attack.done:
            open(os.path.join(folder.path, 'elsewhere', 'a'), 'w').close()
        else:
            exec(attack.run)
        raise ValueError

    folder = fuzz.make_folder(str(tmp_path))
    monkeypatch.setattr(fuzz, 'export_student', export)
    outcomes = set()
    for number in range(12):
        attack = fuzz.Attack(fuzz.random.Random(number), folder)
        outcomes.add(fuzz.judge(attack, {})[0])
        Path(folder.canary).unlink(missing_ok=True)
    assert outcomes == {'code run', 'file elsewhere'}
