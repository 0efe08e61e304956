# Held-out knowledge in one phase: for each image, a student learns from the peer
# that never trains on it. The graduate sees all images.
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    num_students=5,
    folds=dict(num_folds=4, graduate='student4'),
    distiller=dict(collective_losses=dict(loss_dckd=dict(collector='held_out'))),
)

default_hooks = dict(folds=dict(type='mmdckd.FoldsHook'))
