# The comparison with eight units, on 2,000 images; see docs/reference/evidence.md.
_base_ = '../_base_/sweeps/evidence.py'

name = 'evidence_eight'
about = """
What the map shows for eight units and seed 0, with new seeds. `held out` trains four
peers, each blind to a quarter of the images, for three units, then a student for five,
which learns from labels, teacher and, for each image, the peer that is blind to it.
KD has twice the weight of the teacher and averaged weights (EMA). `x8` costs eight
units of 1,920 steps in all.
"""
seeds = [16, 17, 18, 19, 20, 21, 22, 23]
compare_with = ['kd, alpha 2, ema x8', 'kd, alpha 2, ema x16', 'kd, alpha 2, ema x2']

teachers = dict(_delete_=True, glyph62={{_base_.teachers.glyph62}})
pairs = dict(_delete_=True, glyph62_2000={{_base_.pairs.glyph62_2000}})

_losses = 'model.distiller.collective_losses'
methods = {
    'held out x8': dict(
        config='configs/_base_/methods/dckd.py',
        cfg_options={
            # Faster, and equal but for rounding.
            'model.channels_last': True,
            f'{_losses}.loss_dckd.gamma': 0.0,
            'model.num_students': 1,
            'model.folds': dict(num_folds=4),
            'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
            'phases': [
                {'model.num_students': 4, f'{_losses}.loss_dckd.beta': 0.0},
                {
                    'times': 5,
                    'model.finished_peers': 'phase0',
                    f'{_losses}.loss_dckd.collector': 'held_out',
                },
            ],
        },
    )
}
for _units in (2, 8, 16):
    methods[f'kd, alpha 2, ema x{_units}'] = dict(
        config='configs/_base_/methods/kd.py',
        cfg_options={
            'model.channels_last': True,
            f'{_losses}.loss_kd.alpha': 2.0,
            'default_hooks.average': dict(
                type='mmdckd.WeightAverageHook', average='ema'
            ),
            'phases': [dict(times=_units)],
        },
    )
