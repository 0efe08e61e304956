# Chooses, on validation, what the comparison with wrong labels compares; see
# docs/reference/evidence.md.
_base_ = '../_base_/sweeps/wrong_labels.py'

name = 'evidence_wrong_choice'
about = """
`x2` costs two units of 1,920 steps in all. KD is trained for one, two or five units, so
that it can stop before it memorizes wrong labels, and for ten where five are the best;
`alpha` is the weight of the teacher.
The collectives cost five units: DCKD with four students, or four peers, each blind to a
quarter of the images, and then their student; `beta` is the weight of the peers. All
average the weights (EMA) and validate five times a unit. The choice is made on the
validation accuracy, in the best epoch; test accuracies of these runs are not looked at.
"""
seeds = [100, 101]
compare_with = []

_often = {'train_cfg.val_interval': 12}
pairs = {
    'wrong_20': dict(cfg_options=_often),
    'wrong_40': dict(cfg_options=_often),
    'similar': dict(cfg_options=_often),
}

_losses = 'model.distiller.collective_losses'
_ema = {'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema')}

methods = {}
for _alpha, _units in ((1, 2), (2, 1), (2, 2), (2, 5), (2, 10), (4, 2)):
    methods[f'kd, alpha {_alpha} x{_units}'] = dict(
        config='configs/_base_/methods/kd.py',
        cfg_options={
            f'{_losses}.loss_kd.alpha': float(_alpha),
            'phases': [dict(times=_units)],
            **_ema,
        },
    )
# Five units of KD are the best of the rivals there.
methods['kd, alpha 2 x10']['pairs'] = ['wrong_40']
methods['dist x2'] = dict(
    config='configs/_base_/methods/kd.py',
    cfg_options={
        # Of logits alone, which the teacher cache has.
        _losses: dict(_delete_=True, loss_kd=dict(type='mmdckd.CohortDISTLoss')),
        'phases': [dict(times=2)],
        **_ema,
    },
)
methods['dckd x5'] = dict(
    config='configs/_base_/methods/dckd.py',
    cfg_options={'phases': [dict(times=1.25)], **_ema},
)
for _alpha, _beta in ((1, 1), (1, 2), (2, 1)):
    methods[f'held out, alpha {_alpha}, beta {_beta} x5'] = dict(
        config='configs/_base_/methods/dckd.py',
        cfg_options={
            f'{_losses}.loss_dckd.gamma': 0.0,
            f'{_losses}.loss_dckd.collector': 'held_out',
            'model.num_students': 1,
            'model.folds': dict(num_folds=4),
            'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
            # Four peers that see three quarters of the images cost three units.
            'phases': [
                {'model.num_students': 4, f'{_losses}.loss_dckd.beta': 0.0},
                {
                    'times': 2,
                    'model.finished_peers': 'phase0',
                    f'{_losses}.loss_dckd.alpha': float(_alpha),
                    f'{_losses}.loss_dckd.beta': float(_beta),
                    **_ema,
                },
            ],
        },
    )
