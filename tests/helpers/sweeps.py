# Copyright (c) mmdckd contributors. All rights reserved.
"""Sweeps of seconds: real networks, 24 handwritten digits."""

from mmengine.config import Config

from helpers.networks import PREPROCESSOR, network
from mmdckd.sweep.files import write_config


def _dataloader(split, shuffle=False, count=24):
    return dict(
        batch_size=8,
        num_workers=0,
        dataset=dict(
            type='mmdckd.Digits',
            split=split,
            indices=count,
            pipeline=[dict(type='PackInputs')],
        ),
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
    )


def training(**settings):
    """All of a config but the model."""
    return dict(
        default_scope='mmpretrain',
        data_preprocessor={
            key: value for key, value in PREPROCESSOR.items() if key != 'type'
        },
        train_dataloader=_dataloader('train', shuffle=True),
        val_dataloader=_dataloader('val'),
        test_dataloader=_dataloader('test'),
        val_evaluator=dict(type='Accuracy'),
        test_evaluator=dict(type='Accuracy'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(),
        test_cfg=dict(),
        log_level='WARNING',
        **settings,
    )


def write_teacher(path):
    return write(path, model=network(width=2), **training())


def write_cohort(path, num_students=1, teacher=True):
    model = dict(
        type='mmdckd.CollectiveDistill',
        architecture=network(width=2),
        num_students=num_students,
        distiller=dict(type='mmdckd.CollectiveDistiller'),
    )
    if teacher:
        model['teacher'] = network(width=2)
        model['distiller']['collective_losses'] = dict(
            loss_dckd=dict(
                type='mmdckd.DCKDLoss', beta=1.0 if num_students > 1 else 0.0
            )
        )
    rest = training()
    rest['val_cfg'] = dict(type='mmdckd.CollectiveValLoop')
    rest['test_cfg'] = dict(type='mmdckd.CollectiveTestLoop')
    return write(path, model=model, **rest)


def write_spec(path, **keys):
    return write(path, name='tiny', **keys)


def write(path, **keys):
    write_config(str(path), Config(keys))
    return str(path)


def record(name, seed, test, students=(), **changes):
    """A line of a result file."""
    return {
        **dict(
            benchmark='tiny',
            role='method',
            pair='',
            name=name,
            seed=seed,
            fingerprint='0' * 16,
            students=list(students),
            last=dict(epoch=2, val=dict(test), test=dict(test)),
            best=dict(epoch=1, val=dict(test), test=dict(test)),
            parameters=1000,
            train_seconds=10.0,
            train_flops=2 * 10**12,
            test_is_val=False,
            device='cpu',
            threads=1,
            resumed=False,
            versions=dict(torch='2.13.0'),
            commit='01234567',
        ),
        **changes,
    }


def curves(epochs, **columns):
    """Curves of metrics, whose names have `__` for a slash."""
    return dict(
        epoch=list(epochs),
        **{name.replace('__', '/'): each for name, each in columns.items()},
    )
