# One student, taught by the teacher alone (Hinton et al., 2015).
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    num_students=1,
    distiller=dict(collective_losses=dict(loss_dckd=dict(beta=0.0, gamma=0.0))),
)
