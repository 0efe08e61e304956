# Why finished and blind peers teach well; see docs/reference/evidence.md.
_base_ = '../_base_/sweeps/evidence.py'

name = 'evidence_why'
about = """
Glyph62 at 16x16, 2,000 training images. The last student learns for four units from
labels, teacher and peers. The peers train before it, for one unit each if their line
does not say otherwise. A blind peer trains on all folds but one, and teaches that one;
`blind, averaged` has the same peers, but the mean of all teaches each image. `kd` and
`plain` train for five units, `x12` for twelve. `own size` has a teacher of the
student's size, `no teacher` has none.
"""
seeds = [0, 1, 2, 3, 4]
compare_with = ['kd']

teachers = dict(
    _delete_=True,
    glyph62={{_base_.teachers.glyph62}},
    own_size=dict(
        config='configs/teachers/resnet14_glyph62_16x16.py',
        cfg_options={
            'train_dataloader.dataset.subset': 2000,
            'train_cfg.max_epochs': 60,
            'train_cfg.val_interval': 60,
            'param_scheduler.1.T_max': 58,
            'param_scheduler.1.end': 60,
            'model.backbone': dict(depth=8, stem_channels=8, base_channels=8),
            'model.head.in_channels': 32,
        },
    ),
)
pairs = dict(_delete_=True, glyph62_2000={{_base_.pairs.glyph62_2000}})

_losses = 'model.distiller.collective_losses'
_smooth = {
    'model.architecture.head.loss': dict(type='LabelSmoothLoss', label_smooth_val=0.1)
}
_no_teacher = {
    'model.teacher': None,
    'model.teacher_ckpt': None,
    f'{_losses}.loss_dckd.alpha': 0.0,
}
# Without a teacher, nothing is looked up in the first phase.
_no_cache = {'custom_hooks': []}
_own_size = {
    'model.teacher': dict(
        _delete_=True,
        cfg_path='configs/_base_/models/crd/resnet8.py',
        backbone=dict(stem_channels=8, base_channels=8),
        head=dict(num_classes=62, in_channels=32),
    )
}


def _method(name, *options, **others):
    merged = {'model.channels_last': True}
    for each in options:
        merged.update(each)
    return dict(
        config=f'configs/_base_/methods/{name}.py', cfg_options=merged, **others
    )


def _long(units=5):
    return {'phases': [dict(times=units)]}


def _finished(peers, times=1, first=None, **last):
    return {
        f'{_losses}.loss_dckd.gamma': 0.0,
        'model.num_students': 1,
        'phases': [
            {
                'times': times,
                'model.num_students': peers,
                f'{_losses}.loss_dckd.beta': 0.0,
                **(first or {}),
            },
            {'times': 4, 'model.finished_peers': 'phase0', **last},
        ],
    }


def _blind(folds, collector='held_out', first=None):
    last = {f'{_losses}.loss_dckd.collector': collector}
    return {
        **_finished(folds, first=first, **last),
        'model.folds': dict(num_folds=folds),
        'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
    }


methods = {
    'plain': _method('plain', _long(), _no_cache),
    'plain, smoothed labels': _method('plain', _long(), _smooth, _no_cache),
    'kd': _method('kd', _long()),
    'kd x12': _method('kd', _long(12)),
    'kd, smoothed labels': _method('kd', _long(), _smooth),
    'kd, tau 8': _method('kd', _long(), {f'{_losses}.loss_kd.tau': 8.0}),
    'kd, own size': _method('kd', _long(), _own_size, teacher='own_size'),
}
for _peers in (1, 2, 4, 8):
    methods[f'finished, {_peers}'] = _method('dckd', _finished(_peers))
for _times in (2, 4, 8):
    methods[f'finished, 1, trained x{_times}'] = _method('dckd', _finished(1, _times))
for _folds in (2, 4, 8):
    methods[f'blind, {_folds}'] = _method('dckd', _blind(_folds))
methods.update(
    {
        'blind, 4, averaged': _method('dckd', _blind(4, 'mean')),
        'finished, 1, own size': _method(
            'dckd', _finished(1), _own_size, teacher='own_size'
        ),
        'blind, 4, own size': _method('dckd', _blind(4), _own_size, teacher='own_size'),
        'finished, 1, no teacher': _method(
            'dckd', _finished(1, first=_no_cache), _no_teacher
        ),
        'blind, 4, no teacher': _method(
            'dckd', _blind(4, first=_no_cache), _no_teacher
        ),
    }
)
