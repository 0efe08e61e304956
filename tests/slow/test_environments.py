# Copyright (c) mmdckd contributors. All rights reserved.
"""mmdckd trains and resumes with other sets of the packages it builds on.

An environment takes torch and all else from the one that runs this test, and
has its own versions of the packages of its set, which come before.
"""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

import mmdckd
from helpers.paths import ROOT

pytestmark = pytest.mark.slow


# What is installed, and the remedies that this makes necessary.
SETS = dict(
    mmengine=(
        ['mmengine==0.10.7', 'setuptools>=82'],
        ['installed_packages', 'checkpoints_of_mmengine'],
    ),
    onedl=(
        [
            'onedl-mmcv==2.3.6',
            'onedl-mmengine==0.10.12',
            'onedl-mmpretrain==1.3.6',
            'setuptools>=82',
        ],
        ['mmcv_version'],
    ),
)

# Two iterations of the run that it inherits from, then one more.
CONFIG = """
_base_ = {base!r}
train_cfg = dict(
    _delete_=True, by_epoch=False, max_iters={iters}, val_interval={iters})
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=1, save_best=None))
"""

TRIALS = f"""
import importlib.util, json, sys, traceback, warnings
warnings.simplefilter('ignore')
# The package is not executed, so that no remedy is applied.
spec = importlib.util.spec_from_file_location('mmdckd', {mmdckd.__file__!r})
sys.modules['mmdckd'] = importlib.util.module_from_spec(spec)
compat = importlib.import_module('mmdckd.compat')
loading = importlib.import_module('mmdckd.io.loading')

def error(code):
    try:
        exec(code)
    except (Exception, SystemExit):
        return traceback.format_exc()

codes = json.loads(sys.argv[1])
trials = dict()
for remedy in compat.REMEDIES + loading.REMEDIES:
    code = codes.get(remedy.__name__, '')
    trials[remedy.__name__] = error(code), remedy(), error(code)
print(json.dumps(trials))
"""


@pytest.fixture(scope='module', params=SETS)
def environment(request, tmp_path_factory):
    """A Python that has one set of packages, and the remedies it needs."""
    packages, remedies = SETS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder, with_pip=False)
    python = folder / 'bin' / 'python'
    call(
        sys.executable,
        '-m',
        'pip',
        '--python',
        python,
        'install',
        '--quiet',
        '--no-deps',
        *packages,
    )
    # After the installation, which would look at what is there as well.
    paths = sysconfig.get_paths()
    site = call(
        python, '-c', 'import sysconfig; print(sysconfig.get_paths()["purelib"])'
    )
    Path(site.strip(), 'others.pth').write_text(
        '\n'.join([str(ROOT), paths['purelib'], paths['platlib']])
    )
    return python, remedies


def call(*command, cwd=None):
    process = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def train(python, folder, base, iters, *arguments):
    """Train one config with tools/train.py; returns its last checkpoint."""
    config = folder / f'{Path(base).stem}.py'
    config.write_text(CONFIG.format(base=str(ROOT / base), iters=iters))
    work_dir = folder / config.stem
    call(
        python,
        ROOT / 'tools/train.py',
        config,
        '--work-dir',
        work_dir,
        *arguments,
        cwd=ROOT,
    )
    path = work_dir / f'iter_{iters}.pth'
    return path, torch.load(path, weights_only=False)


def test_versions_are_those_of_the_set(environment):
    python, _ = environment
    printed = call(
        python,
        '-c',
        'import mmcv, mmengine; print(mmcv.__version__, mmengine.__version__)',
    )
    assert printed.split() in (['2.1.0', '0.10.7'], ['2.3.6', '0.10.12'])


def test_train_and_resume(environment, tmp_path):
    python, remedies = environment
    teacher, _ = train(python, tmp_path, 'configs/teachers/resnet34_digits.py', 2)
    options = (
        '--cfg-options',
        f'teacher_ckpt={teacher}',
        f'model.teacher_ckpt={teacher}',
        'model.num_students=2',
    )
    cohort = 'configs/dckd_r34_r18_digits.py'
    _, before = train(python, tmp_path, cohort, 2, *options)
    _, after = train(python, tmp_path, cohort, 3, '--resume', *options)
    assert before['meta']['iter'] == 2 and after['meta']['iter'] == 3
    names = [name for name in before['state_dict'] if 'student0' in name]
    assert names
    assert any(
        not torch.equal(before['state_dict'][name], after['state_dict'][name])
        for name in names
    )
    # The losses of the first run are kept.
    scalars = after['message_hub']['log_scalars']['train/loss']
    assert len(scalars['history'][0]) == 3

    # As MMEngine saves one without hooks of ours.
    torch.save(
        dict(
            state_dict=dict(),
            message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))),
        ),
        tmp_path / 'mmengine.pth',
    )
    trials = meet_faults(python, tmp_path / 'mmengine.pth')
    for name in remedies:
        error, changed, remaining = trials[name]
        assert error is not None and changed and remaining is None


def meet_faults(python, path):
    """Try what the faults of the sets prevent, without remedy and with it."""
    codes = dict(
        mmcv_version='import mmrazor',
        installed_packages='from mmengine.hub import get_config; '
        'get_config("mmpretrain::resnet/resnet18_8xb32_in1k.py")',
        checkpoints_of_mmengine='from mmengine.runner import checkpoint; '
        f'checkpoint.CheckpointLoader.load_checkpoint({str(path)!r})',
    )
    return json.loads(call(python, '-c', TRIALS, json.dumps(codes)).splitlines()[-1])
