# The settings of DCKDLoss and of its cohort on handwritten digits.
name = 'digits_ablation'
about = """
Handwritten digits, as in digits.yaml. Each row changes one setting of DCKD. One
image of the test split is 0.28 points. DCKD and the collector that was better with
five seeds have five more seeds: of twenty settings without an effect, one would
look better by chance.
"""
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
compare_with = ['kd', 'dml', 'dckd']

_dckd = 'configs/dckd_r34_r18_digits.py'
_loss = 'model.distiller.collective_losses.loss_dckd.'

teachers = dict(resnet34=dict(config='configs/teachers/resnet34_digits.py'))

methods = dict(
    plain=dict(config='configs/plain/plain_r18_digits.py'),
    kd=dict(config='configs/kd/kd_r18_digits.py'),
    dml=dict(config='configs/dml/dml_r18_digits.py'),
    dckd=dict(config=_dckd),
)

_settings = {
    'alpha': [0.0, 2.0],
    'beta': [0.0, 2.0],
    'gamma': [0.0],
    'tau': [2.0],
    'collector': ['mean', 'max', 'min_logit'],
}
for _key, _values in _settings.items():
    for _value in _values:
        _name = f'{_key} = {_value}'.removesuffix('.0')
        methods[_name] = dict(
            config=_dckd, cfg_options={f'{_loss}{_key}': _value}, group=_key
        )

_changes = {
    'gamma of the other classes': {f'{_loss}correlation': 'non_target'},
    'teacher collected': {
        f'{_loss}collector': dict(
            type='mmdckd.LogitMeanCollector', include_teacher=True
        )
    },
    'ramp of 10 epochs': {f'{_loss}ramp': dict(end=10)},
    'independent views': {
        'model.views': 'independent',
        'train_dataloader.dataset.pipeline': [
            dict(
                type='MultiView',
                num_views=4,
                transforms=[[dict(type='RandomCrop', crop_size=8, padding=1)]],
            ),
            dict(type='PackInputs'),
        ],
    },
}
for _name, _change in _changes.items():
    methods[_name] = dict(config=_dckd, cfg_options=_change)
for _number in [2, 3, 4, 6]:
    methods[f'{_number} students'] = dict(
        config=_dckd, cfg_options={'model.num_students': _number}, group='students'
    )

# The teacher alone, with the same weight.
methods['kd, alpha = 2'] = dict(
    config='configs/kd/kd_r18_digits.py', cfg_options={f'{_loss}alpha': 2.0}
)

# One student of the cohort is the usual one; its peers are wider.
_cfg_path = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'
_main = dict(
    cfg_path=_cfg_path,
    backbone=dict(stem_channels=2, base_channels=2),
    head=dict(in_channels=16),
)
_peer = dict(
    cfg_path=_cfg_path,
    backbone=dict(stem_channels=4, base_channels=4),
    head=dict(in_channels=32),
)
methods['wider peers'] = dict(
    config=_dckd,
    cfg_options={
        'model.architecture': None,
        'model.num_students': None,
        'model.students': dict(main=_main, peer0=_peer, peer1=_peer, peer2=_peer),
    },
    figure='first',
)
