# Held-out knowledge in one phase: four students, each blind to a fourth of the
# training images. Those that see an image learn from the one that does not, and
# so does a graduate, which sees all images and is the student to deploy.
model = dict(
    num_students=5,
    folds=dict(num_folds=4, graduate='student4'),
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_dckd=dict(type='mmdckd.DCKDLoss', collector='held_out')
        ),
    ),
)

default_hooks = dict(folds=dict(type='mmdckd.FoldsHook'))
