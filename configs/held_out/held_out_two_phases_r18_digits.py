# Held-out knowledge in two phases: four students are trained, each blind to a
# fourth of the images. Then another student learns from labels, from the teacher,
# and, for each image, from the student that is blind to it.
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    num_students=1,
    folds=dict(num_folds=4),
    distiller=dict(collective_losses=dict(loss_dckd=dict(gamma=0.0))),
)

phases = [
    {'model.num_students': 4, 'model.distiller.collective_losses.loss_dckd.beta': 0.0},
    {
        'times': 2,
        'model.finished_peers': 'phase0',
        'model.distiller.collective_losses.loss_dckd.collector': 'held_out',
    },
]

default_hooks = dict(folds=dict(type='mmdckd.FoldsHook'))
