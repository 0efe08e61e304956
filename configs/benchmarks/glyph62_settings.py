# Where peers help: KD, with the weight of the peers given to the teacher too,
# and DCKD in settings that differ from that of glyph62_comparison.py in one.
name = 'glyph62_settings'
about = """
Glyph62 at 16x16, as in glyph62_comparison.py but for what the name of the pair
says: 20 epochs in place of 8; a teacher that is a network as its students; or
3,000 training images, students of 81,422 parameters and 20 epochs, where a
network fits its images and the teacher knows little that its students do not.
KD with alpha = 2 gives the teacher the weight that DCKD gives the peers.
"""
seeds = [0, 1, 2, 3, 4]
compare_with = ['kd', 'kd, alpha = 2.0']

_short = {
    'train_cfg.max_epochs': 8,
    'train_cfg.val_interval': 2,
    'param_scheduler.1.T_max': 6,
    'param_scheduler.1.end': 8,
}
_wider = {
    'model.architecture.backbone.stem_channels': 16,
    'model.architecture.backbone.base_channels': 16,
    'model.architecture.head.in_channels': 64,
}
_few = {'train_dataloader.dataset.subset': 3000}
_pair = 'configs/glyph62/_base_/pairs/resnet14_resnet8_16x16.py'
_methods = 'configs/_base_/methods/'
_network = 'configs/glyph62/network_16x16.py'

teachers = dict(
    resnet14=dict(config=_network),
    narrow_resnet8=dict(
        config=_network,
        cfg_options={
            'model.backbone.depth': 8,
            'model.backbone.stem_channels': 6,
            'model.backbone.base_channels': 6,
            'model.head.in_channels': 24,
        }),
    resnet14_of_few_images=dict(config=_network, cfg_options=_few))

pairs = {
    '20 epochs':
    dict(
        config=_pair,
        cfg_options={'train_cfg.val_interval': 5},
        teacher='resnet14'),
    'a teacher of their size':
    dict(
        config='configs/glyph62/_base_/pairs/resnet8_resnet8_16x16.py',
        cfg_options=_short,
        teacher='narrow_resnet8'),
    'few images':
    dict(
        config=_pair,
        cfg_options={
            'train_cfg.val_interval': 5,
            **_wider,
            **_few
        },
        teacher='resnet14_of_few_images'),
}

methods = {
    _name: dict(config=f'{_methods}{_name}.py')
    for _name in ['kd', 'dml', 'dist', 'dckd']
}
methods['kd, alpha = 2.0'] = dict(
    config=f'{_methods}kd.py',
    cfg_options={'model.distiller.collective_losses.loss_kd.alpha': 2.})
