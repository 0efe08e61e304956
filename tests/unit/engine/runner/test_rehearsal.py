# Copyright (c) mmdckd contributors. All rights reserved.
import re

import pytest
from mmengine.logging import MMLogger

from helpers.networks import distil, network
from helpers.runs import run_config
from mmdckd.engine.runner.rehearsal import rehearse


@pytest.fixture
def cfg(tmp_path):
    return run_config(tmp_path, dict(architecture=network(), num_students=2))


def test_nothing_is_left_behind(cfg, tmp_path):
    before = list(MMLogger._instance_dict)
    rehearse(cfg)
    assert list(MMLogger._instance_dict) == before
    assert not (tmp_path / 'work').exists()


def test_a_network_alone_can_be_rehearsed(cfg):
    cfg.model, cfg.val_cfg = network(), dict()
    cfg.default_hooks.checkpoint.save_best = None
    rehearse(cfg)


def test_what_is_built_next_writes_to_no_log_of_the_rehearsal(cfg):
    MMLogger.get_instance('of this test')
    rehearse(cfg)
    distil()  # MMEngine writes how it starts to the log file of the latest logger


def test_a_fault_leaves_nothing_behind_either(cfg):
    before = list(MMLogger._instance_dict)
    cfg.model.type = 'Nothing'
    with pytest.raises(KeyError, match='Nothing'):
        rehearse(cfg)
    assert list(MMLogger._instance_dict) == before


@pytest.mark.parametrize(
    'change, message',
    [
        ({'val_evaluator.type': 'Acuracy'}, 'Acuracy'),
        ({'val_dataloader.dataset.split': 'valid'}, 'split'),
        ({'val_cfg.rule': 'up'}, 'rule'),
        ({'default_hooks.checkpoint.save_best': 'best/accuracy/top2'}, 'save_best'),
        (
            {'custom_hooks': [dict(type='mmdckd.WeightAverageHook', begin_epoch=99)]},
            'begin_epoch',
        ),
        (
            {
                'optim_wrapper.paramwise_cfg': dict(
                    custom_keys={'bakbone': dict(lr_mult=0.1)}
                )
            },
            'custom_keys',
        ),
    ],
)
def test_mistakes_that_show_before_the_first_step(cfg, change, message):
    cfg.merge_from_dict(change)
    with pytest.raises((KeyError, ValueError), match=message):
        rehearse(cfg)


CACHE = dict(type='mmdckd.TeacherCacheHook')
EXACT = {'default_hooks.exact_resume': dict(type='mmdckd.ExactResumeHook')}
ENUMERATED = {
    'train_dataloader.dataset.pipeline': [
        dict(type='mmdckd.EnumeratedCropFlip', padding=1),
        dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
    ]
}


@pytest.mark.parametrize(
    'change, message',
    [
        ({'architecture': network(num_classes=9)}, 'labels from 0 to 8'),
        ({'architecture': network(num_classes=11)}, 'images of every class'),
        ({'custom_hooks': [CACHE]}, '`default_hooks`: expected `exact_resume'),
        ({'custom_hooks': [CACHE], 'model.views': 'independent'}, 'model.views'),
        ({'custom_hooks': [dict(CACHE, top_k=3)], **ENUMERATED}, 'no `top_k`'),
        (
            {'custom_hooks': [dict(type='mmdckd.ExportStudentHook', student='a')]},
            'ExportStudentHook.student',
        ),
        ({'custom_hooks': [dict(type='mmdckd.MeasureErrorsHook')]}, 'collector'),
        (
            {
                'model.folds': dict(num_folds=3),
                'model.num_students': 3,
                'custom_hooks': [dict(type='mmdckd.FoldsHook')],
            },
            'train_dataloader.batch_size',
        ),
        ({'train_dataloader.in_order': False, **EXACT}, '`train_dataloader`'),
    ],
)
def test_mistakes_that_other_hooks_find(cfg, change, message, tmp_path):
    change = dict(change)
    architecture = change.pop('architecture', None)
    if architecture:
        cfg.model.architecture, cfg.model.teacher = architecture, None
        loss = cfg.model.distiller.collective_losses.loss_dckd
        loss.alpha = loss.beta = 0.0
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=re.escape(message)):
        rehearse(cfg)


def test_a_cache_is_checked_without_being_filled(cfg, tmp_path):
    hook = dict(CACHE, folder=str(tmp_path / 'logits'))
    cfg.merge_from_dict({'custom_hooks': [hook], **EXACT})
    rehearse(cfg)
    assert not (tmp_path / 'logits').exists()
