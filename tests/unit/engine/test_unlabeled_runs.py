# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs on batches of images with and without labels."""

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.resumed import assert_equal, config, final, interrupted, logged, resumed
from helpers.runs import loader, run_config, train, with_unlabeled
from mmdckd.engine.student_losses import task_losses


def mixed_config(tmp_path, share, **kwargs):
    cfg = config(tmp_path, **kwargs)
    cfg.train_dataloader = with_unlabeled(cfg.train_dataloader, share)
    if share:
        cfg.data_preprocessor.pop('batch_augments')
    return cfg


def test_without_unlabeled_images_it_is_the_same_run(tmp_path):
    plain = config(tmp_path / 'plain')
    train(plain)
    cfg = mixed_config(tmp_path / 'mixed', 0.0)
    train(cfg)
    assert_equal(logged(cfg.work_dir), logged(plain.work_dir))
    assert_equal(final(cfg.work_dir), final(plain.work_dir))


@pytest.mark.slow
# There are 8 labeled images in a batch of 16.
@pytest.mark.parametrize(
    'by_epoch, workers',
    [(True, 0), (True, 2), pytest.param(False, 0, marks=pytest.mark.slow)],
)
def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, by_epoch, workers):
    whole = mixed_config(tmp_path / 'whole', 0.5, by_epoch=by_epoch)
    whole.custom_hooks.append(dict(type='mmdckd.UnlabeledShareHook'))
    train(whole)
    cfg = mixed_config(tmp_path / 'stopped', 0.5, by_epoch=by_epoch, workers=workers)
    cfg.custom_hooks.append(dict(type='mmdckd.UnlabeledShareHook'))
    interrupted(cfg, 'iter', 10)
    resumed(cfg)
    records = logged(whole.work_dir)
    assert_equal(logged(cfg.work_dir), records)
    assert_equal(final(cfg.work_dir), final(whole.work_dir))
    shares = [
        r['unlabeled_share'] for (stage, _), r in records.items() if stage == 'train'
    ]
    assert shares == pytest.approx([0.5] * len(shares), abs=1e-3)


def short(tmp_path, **kwargs):
    kwargs.setdefault(
        'train_dataloader', with_unlabeled(loader('train', indices=32), 0.25)
    )
    return run_config(
        tmp_path,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[
            dict(type='mmdckd.CheckRunHook'),
            dict(type='mmdckd.CheckLabelsHook', allow_missing=True),
            dict(type='mmdckd.UnlabeledShareHook'),
        ],
        **kwargs,
    )


def last(runner, name):
    return runner.message_hub.get_scalar(f'train/{name}').current()


def test_images_of_two_datasets_as_they_come(tmp_path):
    """Batches of any share, one of them maybe without labels."""
    images = loader('train', indices=48)
    unlabeled = dict(
        type='mmdckd.Unlabeled', dataset=dict(images['dataset'], split='val')
    )
    images['dataset'] = dict(
        type='ConcatDataset', datasets=[images['dataset'], unlabeled]
    )
    images['batch_size'] = 4
    runner = train(short(tmp_path, train_dataloader=images))
    assert runner.message_hub.get_info('seen_images') == (48, 96)
    assert last(runner, 'student.student0.loss') > 0


def test_no_labels_at_all(tmp_path):
    images = loader('train', indices=64)
    images['dataset'] = dict(type='mmdckd.Unlabeled', dataset=images['dataset'])
    cfg = short(tmp_path, train_dataloader=images)
    cfg.model.calculate_student_loss = False
    runner = train(cfg)
    assert task_losses(runner.message_hub.log_scalars, ['student0']) == {}
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'Epoch(train)' in log and 'task loss' not in log
    assert last(runner, 'unlabeled_share') == 1
    assert not any('student.' in key for key in runner.message_hub.log_scalars)
    assert runner.message_hub.get_info('best_student')


def test_a_folder_of_images_without_labels(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i, image in enumerate(load_digits().images[:40]):
        Image.fromarray((image * 15.9).astype('uint8')).save(folder / f'{i}.png')
    images = loader('train')
    images['dataset'] = dict(
        type='CustomDataset',
        data_root=str(folder),
        with_label=False,
        pipeline=[dict(type='LoadImageFromFile'), *images['dataset']['pipeline']],
    )
    cfg = short(tmp_path / 'run', train_dataloader=images)
    cfg.model.calculate_student_loss = False
    runner = train(cfg)
    assert runner.message_hub.get_info('best_student')


@pytest.mark.parametrize(
    'loss, user',
    [
        (dict(type='mmdckd.CohortDKDLoss'), 'CohortDKDLoss'),
        (dict(type='mmdckd.DCKDLoss', collector='naive'), '`collector`'),
    ],
)
def test_what_looks_at_labels_is_refused_before_the_first_step(tmp_path, loss, user):
    cfg = short(tmp_path)
    cfg.model.distiller.collective_losses = dict(loss_a=loss)
    with pytest.raises(
        ValueError, match=f'Invalid `distiller.collective_losses.loss_a`: .*got {user}'
    ):
        train(cfg)


def test_batches_that_would_never_have_unlabeled_images(tmp_path):
    cfg = short(tmp_path)
    del cfg.train_dataloader['batch_sampler']
    with pytest.raises(
        ValueError,
        match='Invalid `train_dataloader.batch_sampler`: .*MixedBatchSampler',
    ):
        train(cfg)


def test_a_network_that_is_trained_alone(tmp_path):
    cfg = short(tmp_path)
    cfg.model = cfg.model.architecture
    cfg.val_cfg, cfg.test_cfg = dict(), dict()
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook')
    with pytest.raises(ValueError, match='labeled images, because a ImageClassifier'):
        train(cfg)
