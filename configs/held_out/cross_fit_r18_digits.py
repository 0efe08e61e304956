# Cross-fitting (Dao et al., ICLR 2021): four ResNet-34 are trained, each blind to a
# fourth of the images. Then a ResNet-18 learns from the labels and, for each image,
# from the ResNet-34 that is blind to it. No teacher is needed beforehand.
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    teacher=None,
    teacher_ckpt=None,
    num_students=1,
    folds=dict(num_folds=4),
    distiller=dict(
        collective_losses=dict(loss_dckd=dict(alpha=0.0, beta=1.0, gamma=0.0))
    ),
)

phases = [
    {
        'model.num_students': 4,
        'model.architecture': dict(cfg_path='mmdckd::teachers/resnet34_digits.py'),
        'model.distiller.collective_losses.loss_dckd.beta': 0.0,
    },
    {
        'model.finished_peers': 'phase0',
        'model.distiller.collective_losses.loss_dckd.collector': 'held_out',
    },
]

default_hooks = dict(folds=dict(type='mmdckd.FoldsHook'))
