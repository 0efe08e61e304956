# The primary comparison; see docs/reference/evidence.md.
_base_ = '../_base_/sweeps/evidence.py'

name = 'evidence'
about = """
What validation chose (`evidence_choice`): the student that learns from labels,
teacher and two finished peers, five units in all, against one student of KD with
the same and with twice the total cost.
"""
seeds = [0, 1, 2, 3, 4, 5, 6, 7]
compare_with = ['rival', 'rival, twice as long']

# The chosen rates: 0.02 for the collective, and for the rival on digits; else 0.1.
_rate = {'optim_wrapper.optimizer.lr': 0.02}
pairs = dict(digits_300=dict(cfg_options=_rate))

_losses = 'model.distiller.collective_losses'
_rival = dict(
    config='configs/_base_/methods/kd.py',
    cfg_options={
        f'{_losses}.loss_kd.alpha': 2.0,
        'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema'),
        'phases': [dict(times=5)],
    },
)
methods = {
    'rival': _rival,
    'rival, twice as long': dict(
        _rival, cfg_options={**_rival['cfg_options'], 'phases': [dict(times=10)]}
    ),
    'collective': dict(
        config='configs/_base_/methods/dckd.py',
        cfg_options={
            **_rate,
            f'{_losses}.loss_dckd.gamma': 0.0,
            'model.num_students': 1,
            'phases': [
                {'model.num_students': 2, f'{_losses}.loss_dckd.beta': 0.0},
                {'times': 3, 'model.finished_peers': 'phase0'},
            ],
        },
    ),
}
