# What the settings of DCKDLoss and of its cohort do on handwritten digits.
name = 'digits_ablation'
about = """
Handwritten digits, as in digits.yaml. From DCKD one setting at a time is
changed. One image of the test split is 0.28 points.
"""
seeds = [0, 1, 2, 3, 4]
compare_with = ['kd', 'dml', 'dckd']

_dckd = 'configs/dckd_r34_r18_digits.py'
_loss = 'model.distiller.collective_losses.loss_dckd.'

teachers = dict(resnet34=dict(config='configs/teachers/resnet34_digits.py'))

methods = dict(
    plain=dict(config='configs/baselines/plain_r18_digits.py'),
    kd=dict(config='configs/baselines/kd_r18_digits.py'),
    dml=dict(config='configs/baselines/dml_r18_digits.py'),
    dckd=dict(config=_dckd))

_changes = {
    'alpha = 0': {
        f'{_loss}alpha': 0.
    },
    'beta = 0': {
        f'{_loss}beta': 0.
    },
    'gamma = 0': {
        f'{_loss}gamma': 0.
    },
    'gamma of the other classes': {
        f'{_loss}correlation': 'non_target'
    },
    'tau = 2': {
        f'{_loss}tau': 2.
    },
    'collector = mean': {
        f'{_loss}collector': 'mean'
    },
    'collector = max': {
        f'{_loss}collector': 'max'
    },
    'teacher collected': {
        f'{_loss}collector':
        dict(type='mmdckd.LogitMeanCollector', include_teacher=True)
    },
    'ramp of 10 epochs': {
        f'{_loss}ramp': dict(end=10)
    },
    'independent views': {
        'model.views': 'independent'
    },
    '2 students': {
        'model.num_students': 2
    },
}
for _name, _change in _changes.items():
    methods[_name] = dict(config=_dckd, cfg_options=_change)
