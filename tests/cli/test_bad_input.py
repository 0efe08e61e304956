# Copyright (c) mmdckd contributors. All rights reserved.
"""Every tool answers bad input by one error line, and no traceback."""

import json
import os.path as osp
from importlib import import_module

import pytest
import torch
from mmengine.config import Config

from helpers.commands import REPO
from mmdckd.cli import show

DML = osp.join(REPO, 'configs', 'dml', 'dml_r18_digits.py')


@pytest.fixture
def end_of(tmp_path, monkeypatch):
    """How a tool ends."""
    monkeypatch.chdir(REPO)
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))

    def run(name, *arguments):
        command = import_module(f'mmdckd.cli.{name}')
        with pytest.raises(SystemExit) as end:
            command.main([*map(str, arguments)])
        code = end.value.code
        assert isinstance(code, str) and code.startswith('error: '), code
        assert 'Traceback (most recent' not in code
        return code[len('error: ') :]

    return run


@pytest.mark.parametrize(
    'text, message',
    [
        ('lr', "expected KEY=VALUE, got 'lr'"),
        ('=3', "expected KEY=VALUE, got '=3'"),
        ('optim_wrapper.optimizer=dict(lr=1)', 'Set the keys of a dict one by one'),
        ("param_scheduler=[dict(type='A',end=2)]", 'Set the keys of a dict one by one'),
        ("model.teacher={'type':'A','pretrained':1}", 'Set the keys of a dict one by'),
        # MMEngine would split these forever, until the memory ends.
        (
            'model=f(1,2)',
            "expected a number, a word, or a list of these, got 'model=f(",
        ),
        ('x=[1,[2,3]', "Imbalanced brackets exist in 1,[2,3, in 'x=[1,[2,3]'"),
    ],
)
def test_options_that_cannot_be_read(text, message, capsys):
    with pytest.raises(SystemExit) as end:
        show.parse_args([DML, '--cfg-options', 'seed=1', text])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert 'argument --cfg-options: ' in error and message in error


def test_options_are_lists_words_and_numbers():
    given = ['a=[(1,2),[x,0.5]]', 'b.c=1,2', 'd=x(1)', 'e=k=v', 'f=None', 'g={}']
    args = show.parse_args([DML, '--cfg-options', *given, '--cfg-options', 'a=true'])
    assert args.cfg_options == {
        'a': True,
        'b.c': [1, 2],
        'd': 'x(1)',
        'e': 'k=v',
        'f': None,
        'g': '{}',
    }


def changed(tmp_path, **changes):
    cfg = Config.fromfile(DML)
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in changes.items()})
    path = tmp_path / 'changed.json'
    path.write_text(json.dumps(cfg.to_dict()))
    return path


@pytest.mark.parametrize(
    'changes, start',
    [
        (
            dict(model__architecture__backbone__depth=19),
            '`model.architecture.backbone`: KeyError',
        ),
        (
            dict(model__distiller__collective_losses__loss_dckd__tau=-1.0),
            '`model.distiller.collective_losses.loss_dckd`',
        ),
        (dict(model=3), 'Invalid `model`'),
        (dict(model=None), 'Invalid `model`: expected a dict'),
        (dict(model__architecture='resnet'), '`model`: TypeError: Invalid `archi'),
        (dict(default_scope='mmpretrian'), 'Invalid `default_scope`'),
        (dict(train_dataloader=3), 'Invalid `train_dataloader`'),
    ],
)
def test_show(end_of, tmp_path, changes, start):
    assert end_of('show', changed(tmp_path, **changes)).startswith(start)


@pytest.mark.parametrize(
    'name, more',
    [
        ('show', ()),
        ('train', ()),
        ('test', ('none.pth',)),
        ('sweep', ()),
        ('convert.razor', ('out.py',)),
    ],
)
@pytest.mark.parametrize('text', ['model = dict(', 'model = undefined'])
def test_a_config_that_is_no_python(end_of, tmp_path, name, more, text):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    more = [tmp_path / each for each in more]
    assert str(path) in end_of(name, path, *more) or name in ('convert.razor', 'sweep')


@pytest.mark.parametrize(
    'name, arguments',
    [
        ('train', ['config']),
        ('train', ['c.py', '--work-dir']),
        ('train', ['c.py', '--resume']),
        ('train', ['--student', 'resnet18', '--data']),
        ('train', ['--data', 'photos', '--student']),
        ('train', ['--data', 'photos', '--student', 'resnet18', '--teacher']),
        ('train', ['--data', 'photos', '--student', 'resnet18', '--unlabeled']),
        ('test', ['c.py', 'checkpoint']),
        ('export', ['RUN']),
        ('predict', ['model.py', 'IMAGE']),
        ('report', ['run', '--names']),
        ('sweep', ['c.py', '--work-dir']),
        ('convert.razor', ['c.py', 'out']),
    ],
)
def test_an_empty_argument_is_named(capsys, name, arguments):
    """As of a shell variable that is not set."""
    *before, named = arguments
    given = [named] if named.startswith('--') else []
    with pytest.raises(SystemExit):
        import_module(f'mmdckd.cli.{name}').main([*before, *given, ''])
    error = capsys.readouterr().err
    assert f"error: argument {named}: expected a value, got ''" in error


def test_a_part_that_is_none(end_of, tmp_path):
    path = changed(tmp_path, default_hooks__visualization=None)
    (tmp_path / 'a.pth').touch()
    message = end_of('test', path, tmp_path / 'a.pth', '--show-dir', tmp_path)
    assert '`default_hooks.visualization`: expected dict(' in message
    path = changed(tmp_path, optim_wrapper=None)
    assert '`optim_wrapper`' in end_of(
        'train', path, '--amp', '--work-dir', tmp_path / 'run'
    )


@pytest.fixture(params=['missing', 'empty', 'text', 'list', 'other'])
def file(request, tmp_path):
    path = tmp_path / 'file.pth'
    if request.param == 'empty':
        path.touch()
    elif request.param == 'text':
        path.write_text('no checkpoint')
    elif request.param == 'list':
        torch.save([1], path)
    elif request.param == 'other':
        torch.save(dict(state_dict=dict(a=torch.ones(1)), meta={}), path)
    return path


@pytest.mark.parametrize(
    'name, more',
    [
        ('export', ('--out', 'out')),
        ('convert.crd', ('out',)),
        ('predict', ('out',)),
        ('test', None),
    ],
)
def test_a_file_that_is_no_checkpoint(end_of, tmp_path, file, name, more):
    before = [DML] if name == 'test' else []
    after = ['--work-dir', tmp_path / 'run'] if more is None else more
    after = [tmp_path / 'out' if each == 'out' else each for each in after]
    message = end_of(name, *before, file, *after)
    assert 'default_hooks' not in message
    assert 'file.pth' in message or name == 'convert.crd'
    assert not (tmp_path / 'out').exists()


def test_a_folder_that_is_no_run(end_of, tmp_path):
    assert str(tmp_path) in end_of('report', tmp_path)
    for text in ('{', '[1, 2]', '"a"', '{"step": "x", "loss": []}'):
        folder = tmp_path / 'run' / '20260101_000000' / 'vis_data'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'scalars.json').write_text(text)
        assert end_of('report', tmp_path / 'run')
