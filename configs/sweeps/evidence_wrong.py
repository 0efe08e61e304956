# The comparison with wrong labels; see docs/reference/evidence.md.
_base_ = '../_base_/sweeps/wrong_labels.py'

name = 'evidence_wrong'
about = """
What validation chose (`evidence_wrong_choice`), for each set: a student of KD, and
one of four peers, each blind to a quarter of the images. `alpha` is the weight of the
teacher, `beta` that of the peers, and `x2` costs two units of 1,920 steps in all. Each
set has its own two lines. All average the weights (EMA), validate five times a unit,
and are compared in the epoch that was best in validation, where the labels are right.
"""
seeds = [8, 9, 10, 11, 12, 13, 14, 15]
compare_with = ['dist x2', 'kd, alpha 2 x10']

_often = {'train_cfg.val_interval': 12}
pairs = {
    'wrong_20': dict(cfg_options=_often),
    'wrong_40': dict(cfg_options=_often),
    'similar': dict(cfg_options=_often),
}

_losses = 'model.distiller.collective_losses'
_ema = {'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema')}


def _held_out(alpha, beta, pairs):
    return dict(
        config='configs/_base_/methods/dckd.py',
        cfg_options={
            f'{_losses}.loss_dckd.gamma': 0.0,
            f'{_losses}.loss_dckd.collector': 'held_out',
            'model.num_students': 1,
            'model.folds': dict(num_folds=4),
            'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
            'phases': [
                {'model.num_students': 4, f'{_losses}.loss_dckd.beta': 0.0},
                {
                    'times': 2,
                    'model.finished_peers': 'phase0',
                    f'{_losses}.loss_dckd.alpha': alpha,
                    f'{_losses}.loss_dckd.beta': beta,
                    **_ema,
                },
            ],
        },
        pairs=pairs,
    )


methods = {
    'dist x2': dict(
        config='configs/_base_/methods/kd.py',
        cfg_options={
            # Of logits alone, which the teacher cache has.
            _losses: dict(_delete_=True, loss_kd=dict(type='mmdckd.CohortDISTLoss')),
            'phases': [dict(times=2)],
            **_ema,
        },
        pairs=['wrong_20', 'similar'],
    ),
    'kd, alpha 2 x10': dict(
        config='configs/_base_/methods/kd.py',
        cfg_options={
            f'{_losses}.loss_kd.alpha': 2.0,
            'phases': [dict(times=10)],
            **_ema,
        },
        pairs=['wrong_40'],
    ),
    'held out, alpha 1, beta 1 x5': _held_out(1.0, 1.0, ['wrong_40', 'similar']),
    'held out, alpha 1, beta 2 x5': _held_out(1.0, 2.0, ['wrong_20']),
}
