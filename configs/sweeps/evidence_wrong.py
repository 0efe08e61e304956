# The comparison with wrong labels; see docs/reference/evidence.md.
_base_ = '../_base_/sweeps/wrong_labels.py'

name = 'evidence_wrong'
about = """
What validation chose (`evidence_wrong_choice`), for each set: a student of KD, and
one of four peers, each blind to a quarter of the images. `alpha` is the weight of the
teacher, `beta` that of the peers, and `x2` costs two units of 1,920 steps in all. Each
set runs the lines that its comparison names (`--only wrong_40/...`). All
average the weights (EMA), validate five times a unit, and are compared in the epoch
that was best in validation, where the labels are right.
"""
seeds = [8, 9, 10, 11, 12, 13, 14, 15]
compare_with = ['kd, alpha 2 x10']

_often = {'train_cfg.val_interval': 12}
pairs = {
    'wrong_20': dict(cfg_options=_often),
    'wrong_40': dict(cfg_options=_often),
    'similar': dict(cfg_options=_often),
}

_losses = 'model.distiller.collective_losses'
_ema = {'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema')}

methods = {
    'kd, alpha 2 x10': dict(
        config='configs/_base_/methods/kd.py',
        cfg_options={
            f'{_losses}.loss_kd.alpha': 2.0,
            'phases': [dict(times=10)],
            **_ema,
        },
    ),
    'held out, alpha 1, beta 1 x5': dict(
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
                    f'{_losses}.loss_dckd.alpha': 1.0,
                    f'{_losses}.loss_dckd.beta': 1.0,
                    **_ema,
                },
            ],
        },
    ),
}
