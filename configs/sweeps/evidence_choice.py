# Chooses, on validation, what the primary comparison compares; see
# docs/reference/evidence.md.
_base_ = '../_base_/sweeps/evidence.py'

name = 'evidence_choice'
about = """
Every line costs five units: one student that is trained five times as long, or
a cohort of the same total. `, ema` keeps an exponential moving average of the
weights. The seeds are others than those of the comparison. The choice is made
on the validation accuracy; test accuracies of these runs are not looked at.
"""
seeds = [100, 101]
compare_with = ['kd']

_kd = 'configs/_base_/methods/kd.py'
_long = {'phases': [dict(times=5)]}
_losses = 'model.distiller.collective_losses'
_ema = [
    dict(type='mmdckd.TeacherCacheHook', folder='work_dirs/teacher_logits'),
    dict(type='mmdckd.WeightAverageHook', average='ema'),
]


def _loss(**loss):
    return {_losses: dict(_delete_=True, loss_kd=loss), **_long}


def _finished(peers=1, times=4, first=None, **options):
    return {
        f'{_losses}.loss_dckd.gamma': 0.0,
        'model.num_students': 1,
        'phases': [
            {
                'model.num_students': peers,
                f'{_losses}.loss_dckd.beta': 0.0,
                **(first or {}),
            },
            {'times': times, 'model.finished_peers': 'phase0', **options},
        ],
    }


methods = {
    'kd': dict(config=_kd, cfg_options=_long),
    'kd, alpha 2': dict(
        config=_kd, cfg_options={**_long, f'{_losses}.loss_kd.alpha': 2.0}
    ),
    'dist': dict(config=_kd, cfg_options=_loss(type='mmdckd.CohortDISTLoss')),
    'dkd': dict(config=_kd, cfg_options=_loss(type='mmdckd.CohortDKDLoss')),
    'mlkd + lskd': dict(
        config='configs/_base_/methods/mlkd_lskd.py', cfg_options=_long
    ),
}
# At the rate of 0.1, the larger losses can kill a network.
_rate = {'optim_wrapper.optimizer.lr': 0.02}
methods.update(
    {
        f'{_name}, rate 0.02': dict(
            config=methods[_name]['config'],
            cfg_options={**methods[_name]['cfg_options'], **_rate},
        )
        for _name in ('kd', 'kd, alpha 2', 'dist', 'dkd', 'mlkd + lskd')
    }
)
methods.update(
    {
        f'{_name}, ema': dict(
            config=_each['config'],
            cfg_options={**_each['cfg_options'], 'custom_hooks': _ema},
        )
        for _name, _each in methods.items()
    }
)
_dckd = 'configs/_base_/methods/dckd.py'
_alpha = {f'{_losses}.loss_dckd.alpha': 2.0}
_collectives = {
    'dckd': {'phases': [dict(times=1.25)]},
    'finished': _finished(),
    'finished, ema': _finished(custom_hooks=_ema),
    'finished, beta 2': _finished(**{f'{_losses}.loss_dckd.beta': 2.0}),
    'finished, two peers': _finished(peers=2, times=3),
    'finished, two peers, ema': _finished(peers=2, times=3, custom_hooks=_ema),
    'finished, two peers, alpha 2, ema': _finished(
        peers=2, times=3, custom_hooks=_ema, **_alpha
    ),
    'finished, alpha 2, ema': _finished(custom_hooks=_ema, **_alpha),
    'finished, longer peer, alpha 2, ema': _finished(
        times=3, first=dict(times=2), custom_hooks=_ema, **_alpha
    ),
    # Four peers that see three quarters of the images cost three units.
    'held out': {
        **_finished(peers=4, times=2, **{f'{_losses}.loss_dckd.collector': 'held_out'}),
        'model.folds': dict(num_folds=4),
        'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
    },
}
# Another term makes the loss, and so the steps, larger, as in the rivals' losses.
_collectives.update(
    {
        f'{_name}, rate 0.02{_end}': {**_collectives[_name + _end], **_rate}
        for _name, _end in (
            ('dckd', ''),
            ('finished', ''),
            ('finished', ', ema'),
            ('finished, alpha 2', ', ema'),
            ('finished, two peers', ''),
            ('finished, two peers', ', ema'),
            ('finished, two peers, alpha 2', ', ema'),
            ('held out', ''),
        )
    }
)
methods.update(
    {
        _name: dict(config=_dckd, cfg_options=_each)
        for _name, _each in _collectives.items()
    }
)
# The best lines of both sides try more.
_best = methods['kd, alpha 2, ema']['cfg_options']
methods.update(
    {
        f'kd, alpha 2, {_name}': dict(config=_kd, cfg_options={**_best, **_each})
        for _name, _each in {
            'rate 0.05, ema': {'optim_wrapper.optimizer.lr': 0.05},
            'batch 32, ema': {'train_dataloader.batch_size': 32},
            'batch 128, ema': {'train_dataloader.batch_size': 128},
            'rate 0.02, batch 32, ema': {**_rate, 'train_dataloader.batch_size': 32},
            'rate 0.02, batch 128, ema': {**_rate, 'train_dataloader.batch_size': 128},
        }.items()
    }
)
methods['finished, two peers, rate 0.05'] = dict(
    config=_dckd,
    cfg_options={
        **_collectives['finished, two peers'],
        'optim_wrapper.optimizer.lr': 0.05,
    },
)
