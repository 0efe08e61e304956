# Four students that have each other alone.
_base_ = '../../dckd_r34_r18_digits.py'

model = dict(
    teacher=None,
    teacher_ckpt=None,
    distiller=dict(collective_losses=dict(loss_dckd=dict(alpha=0.0, gamma=0.0))),
)
