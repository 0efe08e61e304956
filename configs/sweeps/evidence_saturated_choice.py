# Chooses, on validation, what the second comparison compares; see
# docs/reference/evidence.md.
_base_ = '../_base_/sweeps/evidence.py'

name = 'evidence_saturated_choice'
about = """
`x10` costs ten units in all. KD has what the first choice chose: weight 2 and averaged
weights. `finished, 2` trains two peers with half of the cost, then the student with the
other half; `blind, 4` trains four peers, each blind to a quarter of the images. `, ema`
averages the weights of the last student. The choice is made on the validation accuracy;
test accuracies of these runs are not looked at.
"""
seeds = [100, 101, 102, 103]
compare_with = []

pairs = dict(
    # The rate of the first choice.
    digits_300=dict(cfg_options={'optim_wrapper.optimizer.lr': 0.02}),
    # Faster, and equal but for rounding.
    glyph62_2000=dict(cfg_options={'model.channels_last': True}),
)

_losses = 'model.distiller.collective_losses'
_ema = {'default_hooks.average': dict(type='mmdckd.WeightAverageHook', average='ema')}
_blind = {
    'model.folds': dict(num_folds=4),
    'default_hooks.folds': dict(type='mmdckd.FoldsHook'),
}


def _finished(peers, times, student, **options):
    return {
        f'{_losses}.loss_dckd.gamma': 0.0,
        'model.num_students': 1,
        'phases': [
            {
                'times': times,
                'model.num_students': peers,
                f'{_losses}.loss_dckd.beta': 0.0,
            },
            {'times': student, 'model.finished_peers': 'phase0', **options},
        ],
    }


methods = {}
for _units in (5, 10, 20, 40, 80):
    methods[f'kd, alpha 2, ema x{_units}'] = dict(
        config='configs/_base_/methods/kd.py',
        cfg_options={
            f'{_losses}.loss_kd.alpha': 2.0,
            'phases': [dict(times=_units)],
            **_ema,
        },
    )
for _units in (10, 20, 40, 80):
    for _name, _options in {'': {}, ', ema': _ema}.items():
        _lines = {
            'dckd': {'phases': [dict(times=_units / 4)], **_options},
            **{
                f'finished, {_peers}': _finished(
                    _peers, _units / 2 / _peers, _units / 2, **_options
                )
                for _peers in (1, 2, 4)
            },
            # Four peers that see three quarters of the images.
            'blind, 4': {
                **_finished(
                    4,
                    _units / 6,
                    _units / 2,
                    **{f'{_losses}.loss_dckd.collector': 'held_out', **_options},
                ),
                **_blind,
            },
        }
        for _line, _settings in _lines.items():
            methods[f'{_line}{_name} x{_units}'] = dict(
                config='configs/_base_/methods/dckd.py', cfg_options=_settings
            )
