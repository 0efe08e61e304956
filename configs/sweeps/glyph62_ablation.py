# The settings of DCKDLoss and of its cohort, changed one at a time.
name = 'glyph62_ablation'
about = """
Glyph62 at 16x16, 8,000 training images, 8 epochs. ResNet-14 teaches a narrow
ResNet-8 of 12,692 parameters. Of DCKD (alpha = 1, beta = 1, gamma = 0.1,
tau = 4, logit_mean, four students, the same view for all, no ramp), each row
changes one setting. Plain training, KD and DML are the baselines.
"""
seeds = [0, 1, 2, 3, 4]
compare_with = ['plain', 'kd', 'dml', 'dckd']

_short = {
    'train_cfg.max_epochs': 8,
    'train_cfg.val_interval': 2,
    'param_scheduler.1.T_max': 6,
    'param_scheduler.1.end': 8,
}
_loss = 'model.distiller.collective_losses.loss_dckd.'
_pair = 'configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py'
_methods = 'configs/_base_/methods/'

teachers = dict(resnet14=dict(config='configs/teachers/resnet14_glyph62_16x16.py'))

methods = {
    _name: dict(config=[_pair, f'{_methods}{_name}.py'], cfg_options=_short)
    for _name in ['plain', 'kd', 'dml', 'dckd']
}

# The teacher alone, with the weight of some settings.
methods['kd, alpha = 2.0'] = dict(
    config=[_pair, f'{_methods}kd.py'],
    cfg_options={**_short, 'model.distiller.collective_losses.loss_kd.alpha': 2.0},
)

_settings = {
    'alpha': [0.0, 0.5, 2.0],
    'beta': [0.0, 0.5, 2.0],
    'gamma': [0.0, 0.3],
    'tau': [2.0, 8.0],
    'collector': ['mean', 'max', 'min_logit'],
}
for _key, _values in _settings.items():
    for _value in _values:
        methods[f'{_key} = {_value}'] = dict(
            config=[_pair, f'{_methods}dckd.py'],
            cfg_options={**_short, f'{_loss}{_key}': _value},
            group=_key,
        )

_changes = {
    'gamma of the other classes': {f'{_loss}correlation': 'non_target'},
    'teacher collected': {
        f'{_loss}collector': dict(
            type='mmdckd.LogitMeanCollector', include_teacher=True
        )
    },
    'ramp of 3 epochs': {f'{_loss}ramp': dict(end=3)},
    'independent views': {
        'model.views': 'independent',
        'train_dataloader.dataset.pipeline': [
            dict(
                type='MultiView',
                num_views=4,
                transforms=[[dict(type='RandomCrop', crop_size=16, padding=1)]],
            ),
            dict(type='PackInputs'),
        ],
    },
}
for _name, _change in _changes.items():
    methods[_name] = dict(
        config=[_pair, f'{_methods}dckd.py'], cfg_options={**_short, **_change}
    )
for _number in [2, 3, 4, 6]:
    methods[f'{_number} students'] = dict(
        config=[_pair, f'{_methods}dckd.py'],
        cfg_options={**_short, 'model.num_students': _number},
        group='students',
    )

# One student of the cohort is the usual one; its peers are wider.
_peer = dict(
    cfg_path='configs/_base_/models/crd/resnet8.py',
    backbone=dict(stem_channels=8, base_channels=8),
    head=dict(num_classes=62, in_channels=32),
)
_main = dict(
    cfg_path='configs/_base_/models/crd/resnet8.py',
    backbone=dict(stem_channels=6, base_channels=6),
    head=dict(num_classes=62, in_channels=24),
)
methods['wider peers'] = dict(
    config=[_pair, f'{_methods}dckd.py'],
    cfg_options={
        **_short,
        'model.architecture': None,
        'model.num_students': None,
        'model.students': dict(main=_main, peer0=_peer, peer1=_peer, peer2=_peer),
    },
    figure='first',
)
