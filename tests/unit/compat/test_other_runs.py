# Copyright (c) mmdckd contributors. All rights reserved.
"""Importing mmdckd leaves runs of MMEngine as they were."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

#: All that differs in other packages once mmdckd is imported, and why.
CHANGED = {
    'loads checkpoints of MMEngine, as weights alone': [
        r'torch\._weights_only_unpickler:_marked_safe_globals_set',
        r'mmengine\.runner\.checkpoint:CheckpointLoader\.(load_checkpoint|_schemes)',
        r'mmengine\.runner\.checkpoint:load_from_\w+',
    ],
    'reads `mmdckd::`, and no other path': [
        r'mmengine\.\w+\.\w+:(MODULE2PACKAGE|PKG2PROJECT)',
        r'mmengine\.\w+\.\w+:_get_package_and_cfg_path',
    ],
    'finds `mmdckd.X`, and plain names in the scope of MMRazor': [
        r'registry:mmengine::[\w ]+\._children',
        r'registry:mmrazor::[\w ]+\.(_module_dict|_imported|import_from_location)',
    ],
    'fault: hooks of a converted BatchNorm are lost': [
        r'mmengine\.[\w.]+:(convert|revert)_sync_batchnorm'
    ],
    'fault: LoRA drops the weights of others when it is saved': [
        r'mmpretrain\.models\.peft\.lora:LoRAModel\._register_state_dict_hooks'
    ],
    'fault: in-place layers overwrite what is recorded': [
        r'mmrazor\.models\.algorithms\.base:BaseAlgorithm\.set_module_inplace_false'
    ],
    'fault: parts of mmcls are missing': [
        r'mmrazor\.models\.architectures\.heads\.deit_head:DeiTClsHead\.\w+',
        r'mmrazor\.models\.losses\.kd_soft_ce_loss:soft_cross_entropy',
    ],
    'fault: CRD does not run on a GPU': [
        r'mmrazor\.models\.losses\.crd_loss:ContrastMemory\.forward'
    ],
    'counters and caches of torch': [
        r'torch\.utils\.hooks:RemovableHandle\.next_id',
        r'torch\.jit\._builtins:_builtin_table',
    ],
}


def run(script, *arguments):
    process = subprocess.run(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        env=dict(os.environ, CUDA_VISIBLE_DEVICES=''),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    """What happens in each situation, without mmdckd and with it."""
    return [
        run('mmengine_situations.py', tmp_path_factory.mktemp(name), name)
        for name in ('without', 'with')
    ]


@pytest.mark.slow
def test_mmengine_does_what_it_did(outcomes):
    without, imported = outcomes
    assert not without.pop('mmdckd') and imported.pop('mmdckd')
    assert without.keys() == imported.keys()
    for name in without:
        assert without[name] == imported[name], name


@pytest.mark.slow
def test_the_situations_are_what_they_say(outcomes):
    ours = outcomes[1]
    kept = {name for name in ours['few_kept_and_the_best'][0] if name[-4:] == '.pth'}
    assert kept == {'best_score_epoch_2.pth', 'epoch_3.pth'}
    assert 'resumed epoch: 2, iter: 4' in ''.join(ours['resumed_from_latest'][1])
    for refused in ('amp', 'launched', 'base_of_mmcls', 'config_of_mmcls'):
        assert ours[refused][0].endswith('Error')


@pytest.mark.slow
def test_every_attribute_that_differs_is_known():
    places = run('changed_attributes.py')
    known = [pattern for patterns in CHANGED.values() for pattern in patterns]
    unknown = [p for p in places if not any(re.fullmatch(k, p) for k in known)]
    assert not unknown
    assert any('load_checkpoint' in place for place in places)
