# Copyright (c) mmdckd contributors. All rights reserved.
"""A file that would run code does not, whichever way it is loaded."""

import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.runner import CheckpointLoader, Runner, checkpoint
from mmengine.runner.checkpoint import load_checkpoint
from mmpretrain import get_model
from safetensors.torch import save_file
from torch import nn

from helpers.malicious import Command, train_once, with_command
from helpers.networks import distil, network
from mmdckd.export import export_student
from mmdckd.io import trust
from mmdckd.models.weights import read_checkpoint

REFUSED = 'expected only weights.*--trust-checkpoint'


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    return train_once(tmp_path_factory.mktemp('trust'))


@pytest.fixture
def trace(tmp_path):
    return tmp_path / 'trace'


@pytest.fixture
def bad(runner, trace):
    return with_command(runner, trace)


def pretrained(path, **kwargs):
    return dict(type='Pretrained', checkpoint=path, **kwargs)


def with_backbone(path):
    cfg = network()
    cfg['backbone']['init_cfg'] = pretrained(path, prefix='backbone.')
    return cfg


def go_on(path, runner, resume):
    cfg = runner.cfg.copy()
    cfg.update(load_from=path, resume=resume, experiment_name=f'again{resume}')
    again = Runner.from_cfg(cfg)
    again.train()


WAYS = dict(
    teacher_ckpt=lambda path, _: distil(teacher_ckpt=path),
    teacher=lambda path, _: distil(teacher=dict(network(34), pretrained=path)),
    student=lambda path, _: distil(architecture=dict(network(), pretrained=path)),
    init_cfg_of_a_student=lambda path, _: distil(
        architecture=network(init_cfg=pretrained(path))
    ),
    init_cfg_of_a_backbone=lambda path, _: distil(architecture=with_backbone(path)),
    init_cfg_of_the_model=lambda path, _: distil(init_cfg=pretrained(path)),
    load_from=partial(go_on, resume=False),
    resume=partial(go_on, resume=True),
    export=lambda path, _: export_student(path, 'nowhere'),
    mmengine=lambda path, _: load_checkpoint(nn.Linear(1, 1), path),
    load_from_local=lambda path, _: checkpoint.load_from_local(path, 'cpu'),
    load_from_ceph=lambda path, _: checkpoint.load_from_ceph(path, backend='local'),
    registered=lambda path, _: CheckpointLoader._schemes[''](path, 'cpu'),
    mmpretrain=lambda path, _: get_model('resnet18_8xb16_cifar10', pretrained=path),
)


@pytest.mark.parametrize('way', WAYS)
def test_a_command_in_a_file_is_not_run(way, bad, trace, runner):
    with pytest.raises(ValueError, match=REFUSED) as error:
        WAYS[way](bad, runner)
    assert bad in str(error.value)
    # It is said what the file asked for.
    assert 'Path' in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize('way', [read_checkpoint, CheckpointLoader])
def test_a_command_behind_an_address_is_not_run(way, bad, trace, monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(
        ('127.0.0.1', 0), partial(Quiet, directory=trace.parent)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/bad.pth'
    try:
        with pytest.raises(ValueError, match=REFUSED):
            if way is read_checkpoint:
                way(url, 'teacher_ckpt')
            else:
                way.load_checkpoint(url)
    finally:
        server.shutdown()
        server.server_close()
    assert not trace.exists()


@pytest.mark.parametrize(
    'save',
    [
        partial(torch.save, _use_new_zipfile_serialization=False),
        lambda content, path: path.write_bytes(pickle.dumps(content)),
        lambda content, path: path.write_bytes(pickle.dumps(content, 0)),
    ],
)
def test_older_formats_run_nothing(save, trace):
    path = trace.with_name('old.pth')
    save(dict(state_dict=Command(trace)), path)
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        read_checkpoint(str(path), 'teacher_ckpt')
    assert not trace.exists()


def test_trusting_is_for_all_that_follows(bad, trace, monkeypatch):
    monkeypatch.setattr(trust, '_trusted', False)
    trust.trust_checkpoints()
    assert 'extra' in read_checkpoint(bad, 'teacher_ckpt')
    assert trace.exists()
    trace.unlink()
    CheckpointLoader.load_checkpoint(bad)
    assert trace.exists()


def test_what_the_environment_says_comes_back(bad, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    with pytest.raises(ValueError, match=REFUSED):
        CheckpointLoader.load_checkpoint(bad)
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_safetensors_serve_as_weights(tmp_path):
    teacher = distil().teachers[0].model
    path = str(tmp_path / 'teacher.safetensors')
    save_file(teacher.state_dict(), path)
    model = distil(seed=1, teacher_ckpt=path, allow_random_teacher=False)
    for key, value in model.teachers[0].model.state_dict().items():
        assert torch.equal(value, teacher.state_dict()[key])


def test_resuming_runs_no_config(runner, tmp_path, trace):
    """MMEngine reads `meta.config`, which MMCV has written."""
    content = torch.load(f'{runner.work_dir}/epoch_1.pth', weights_only=True)
    content['meta']['config'] = f'open({str(trace)!r}, "w")'
    torch.save(content, tmp_path / 'config.pth')
    go_on(str(tmp_path / 'config.pth'), runner, True)
    assert not trace.exists()


def test_every_loader_of_mmengine_is_safe():
    for name, loader in vars(checkpoint).items():
        if name.startswith('load_from_'):
            assert loader.__module__ == 'mmengine.runner.checkpoint'
            assert hasattr(loader, '__wrapped__'), name
            assert loader in CheckpointLoader._schemes.values(), name
