# Compares methods with few images and many epochs.
name = 'glyph62_few'
about = """
Glyph62 at 16x16, 2,000 training images, 60 epochs: few images and many epochs.
ResNet-14, trained on the same images, teaches a ResNet-8 of 81,422 parameters.
`kd, alpha = 2.0` gives the teacher the weight that DCKD gives teacher and peers
together; `kd, four times as long` trains one student for as many steps as the four
students of DCKD together.
"""
seeds = [0, 1, 2, 3, 4, 5, 6, 7]
compare_with = ['plain', 'kd', 'dml', 'dkd', 'dist']

_few = {'train_dataloader.dataset.subset': 2000}
_wider = {
    'model.architecture.backbone.stem_channels': 16,
    'model.architecture.backbone.base_channels': 16,
    'model.architecture.head.in_channels': 64,
}
_many = {
    'train_cfg.max_epochs': 60,
    'train_cfg.val_interval': 15,
    'param_scheduler.1.T_max': 58,
    'param_scheduler.1.end': 60,
}
_long = {
    'train_cfg.max_epochs': 240,
    'train_cfg.val_interval': 60,
    'param_scheduler.1.T_max': 238,
    'param_scheduler.1.end': 240,
}
_pair = 'configs/_base_/pairs/glyph62_16x16/resnet14_resnet8.py'
_methods = 'configs/_base_/methods/'
_student = {**_many, **_wider, **_few}

teachers = dict(
    resnet14=dict(
        config='configs/teachers/resnet14_glyph62_16x16.py',
        cfg_options={**_many, **_few},
    )
)

methods = {
    _name: dict(config=[_pair, f'{_methods}{_name}.py'], cfg_options=_student)
    for _name in ['plain', 'kd', 'dml', 'dkd', 'dist', 'dckd']
}
methods['kd, alpha = 2.0'] = dict(
    config=[_pair, f'{_methods}kd.py'],
    cfg_options={**_student, 'model.distiller.collective_losses.loss_kd.alpha': 2.0},
)
methods['kd, four times as long'] = dict(
    config=[_pair, f'{_methods}kd.py'], cfg_options={**_student, **_long}
)
