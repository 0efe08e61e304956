# Copyright (c) mmdckd contributors. All rights reserved.
"""`mmdckd export` takes the folder of a run, and refuses others first."""

import copy
import io
import os
import re
import shutil
from contextlib import redirect_stdout

import pytest
import torch

from mmdckd.cli.export import main
from mmdckd.sweep.files import write_config


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a run's folder that may be changed."""
    folder = tmp_path / 'run'
    shutil.copytree(trained.work_dir, folder)
    for path in folder.glob('best*.pth'):
        path.unlink()
    change(folder / 'epoch_2.pth', folder / 'best.pth')
    return folder


def change(source, target):
    """Copy a checkpoint with other weights."""
    content = torch.load(source, weights_only=True)
    for value in content['state_dict'].values():
        value += 1
    torch.save(content, target)


def export(*arguments):
    main([str(argument) for argument in arguments])


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def assert_is(folder, name, checkpoint):
    """The student in a folder is that of a checkpoint."""
    found = weights(folder / f'{name}.pth')
    prefix = f'architecture.students.{name}.'
    expected = {
        k[len(prefix) :]: v
        for k, v in weights(checkpoint).items()
        if k.startswith(prefix)
    }
    assert found.keys() == expected.keys() and found
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def test_the_best_student_of_the_best_checkpoint(run, capsys):
    export(run)
    (path,) = (run / 'exported').glob('*.pth')
    assert_is(run / 'exported', path.stem, run / 'best.pth')
    printed = capsys.readouterr().out
    assert printed.split()[:4] == ['from', str(run / 'best.pth'), 'student', path.stem]


def earlier_export(run, *arguments):
    """What is said of older files beside a student that is exported again."""
    export(run)
    (config,) = (run / 'exported').glob('*.py')
    for ending in ('onnx', 'int8.onnx'):
        path = run / 'exported' / f'{config.stem}.{ending}'
        path.write_bytes(b'of other weights')
        os.utime(path, (1, 1))
    with redirect_stdout(io.StringIO()) as printed:
        export(run, *arguments)
    (warning,) = re.findall('Of an earlier export.*', printed.getvalue())
    return sorted(re.findall(rf'{config.stem}\.(\S+[^\s,.])', warning))


def test_formats_of_an_earlier_export_are_named(run):
    assert earlier_export(run) == ['int8.onnx', 'onnx']


@pytest.mark.slow
def test_formats_that_are_written_anew_are_not_named(run):
    assert earlier_export(run, '--onnx') == ['int8.onnx']


def test_the_folder_of_the_one_command(run, tmp_path):
    """In it the students are a run, and so is the teacher."""
    (tmp_path / 'flowers' / 'teacher').mkdir(parents=True)
    shutil.move(run, tmp_path / 'flowers' / 'students')
    export(tmp_path / 'flowers', '--student', 'student1')
    assert_is(
        tmp_path / 'flowers' / 'exported',
        'student1',
        tmp_path / 'flowers' / 'students' / 'best.pth',
    )


def test_all_students(run, tmp_path):
    export(run, '--student', 'all', '--out', tmp_path / 'out')
    for name in ('student0', 'student1'):
        assert_is(tmp_path / 'out', name, run / 'best.pth')


def test_without_a_best_one_the_newest_checkpoint_counts(run):
    """MMEngine's hook has no `best.pth`; without `save_best` there is none."""
    best = run / 'best_best_accuracy_top1_epoch_1.pth'
    (run / 'best.pth').rename(best)
    export(run, '--student', 'student0')
    assert_is(run / 'exported', 'student0', best)
    # Those of several metrics: the newest one.
    older = run / 'best_other_epoch_1.pth'
    shutil.copy(run / 'epoch_2.pth', older)
    for seconds, path in ((1, older), (2, best)):
        os.utime(path, (seconds, seconds))
    export(run, '--student', 'student0')
    assert_is(run / 'exported', 'student0', best)
    older.unlink()
    best.unlink()
    export(run, '--student', 'student0')
    assert_is(run / 'exported', 'student0', run / 'epoch_2.pth')


def test_a_checkpoint_is_exported_beside_itself(run):
    export(run / 'epoch_2.pth', '--student', 'student0')
    assert_is(run / 'exported', 'student0', run / 'epoch_2.pth')


def listed(folder):
    return sorted(str(path) for path in folder.rglob('*'))


def bad_input(run, tmp_path):
    """What is asked for, and words of the error."""
    for path in run.glob('*.pth'):
        path.rename(tmp_path / path.name)
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'file').write_text('')
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'a.png').write_text('nothing')
    best = tmp_path / 'best.pth'
    int8 = [best, '--int8', '--calibrate']
    yield [run], 'has no checkpoint yet'
    yield [tmp_path / 'photos'], "expected a checkpoint or the folder of a run, got '"
    yield [tmp_path / 'nothing'], 'expected an existing checkpoint'
    yield [best, '--student', 'studnet1'], "Did you mean 'student1'"
    yield [*int8, tmp_path / 'photos'], 'Invalid `--calibrate`: expected images'
    yield [*int8, tmp_path / 'nothing'], 'nothing.*, which does not exist'
    yield [*int8, tmp_path / 'file'], 'file.*, which is a file'
    yield [*int8, tmp_path / 'broken'], 'Invalid `--calibrate`.*1 of 1.*a.png'


def test_bad_input_ends_it_before_anything_is_written(run, tmp_path):
    cases = list(bad_input(run, tmp_path))
    before = listed(tmp_path)
    for arguments, words in cases:
        with pytest.raises(SystemExit, match=words):
            export(*arguments, '--out', tmp_path / 'out')
    assert listed(tmp_path) == before


def test_a_folder_of_runs_names_the_newest(run, tmp_path):
    with pytest.raises(SystemExit, match=f"Did you mean '{run}'"):
        export(tmp_path)


@pytest.mark.parametrize('where', ['file/out', '/proc/self/out'])
def test_a_folder_that_cannot_be_written_to(run, tmp_path, where):
    (tmp_path / 'file').write_text('')
    out = os.path.join(tmp_path, where)
    with pytest.raises(SystemExit, match='Invalid `--out`: expected a folder to write'):
        export(run, '--out', out)
    assert (tmp_path / 'file').read_text() == ''


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--int8'], '--int8 needs --calibrate DIR'),
        (['--calibrate', '.'], '--calibrate needs --int8'),
        (['--onnx', '--test', '.'], '--test needs --int8'),
    ],
)
def test_arguments_that_need_each_other(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit, match='2'):
        export(tmp_path, *arguments)
    assert words in capsys.readouterr().err


def test_missing_packages_name_the_extra_first(run, monkeypatch):
    monkeypatch.setattr('mmdckd.export.onnx_file._NEEDED', ('onnx', 'nonnx'))
    before = listed(run)
    with pytest.raises(SystemExit, match=r"nonnx.*pip install 'mmdckd\[onnx\]'"):
        export(run, '--onnx')
    assert listed(run) == before


@pytest.fixture
def config(trained, tmp_path):
    """Write the config of the run, with changes; return its path."""

    def write(**changes):
        cfg = copy.deepcopy(trained.cfg)
        cfg.merge_from_dict(changes.pop('options', {}))
        cfg.update(changes)
        write_config(str(tmp_path / 'config.py'), cfg)
        return tmp_path / 'config.py'

    return write


def test_the_config_replaces_one_that_is_not_plain(run, config):
    content = torch.load(run / 'best.pth', weights_only=True)
    content['meta']['cfg'] = 'model = build_it()'
    torch.save(content, run / 'best.pth')
    with pytest.raises(SystemExit, match='Give the config of its run'):
        export(run, '--student', 'student0')
    export(run, '--student', 'student0', '--config', config())
    assert_is(run / 'exported', 'student0', run / 'best.pth')


def test_the_config_of_several_phases_is_that_of_the_last_one(run, config):
    key = 'model.architecture.head.num_classes'
    path = config(options={key: 7}, phases=[{}, {key: 10}])
    export(run, '--student', 'student0', '--config', path)
    assert_is(run / 'exported', 'student0', run / 'best.pth')


def test_networks_made_by_functions(run, tmp_path):
    """Those of torchvision need no trust; a function of anybody's does."""
    from mmdckd.models.backbones.torchvision_network import build_network

    network = build_network('shufflenet_v2_x0_5', num_classes=10)
    content = torch.load(run / 'best.pth', weights_only=True)
    prefix = 'architecture.students.student0.'
    content['state_dict'] = {
        f'{prefix}backbone.module.{key}': value
        for key, value in network.state_dict().items()
    }
    backbone = dict(
        type='mmdckd.ModuleBackbone',
        module='mmdckd.models.backbones.torchvision_network.build_network',
        name='shufflenet_v2_x0_5',
        num_classes=10,
    )
    model = dict(type='ImageClassifier', backbone=backbone, head=dict(type='ClsHead'))
    content['meta']['students'] = dict(student0=model)
    torch.save(content, run / 'best.pth')
    export(run, '--student', 'student0')
    assert 'mmdckd' in (run / 'exported' / 'student0.py').read_text()
    backbone['module'] = 'os.system'
    torch.save(content, run / 'best.pth')
    with pytest.raises(SystemExit, match="got 'os.system'.*--config"):
        export(run, '--student', 'student0', '--out', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
