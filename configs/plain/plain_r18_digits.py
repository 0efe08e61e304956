# One student, without teacher and peers.
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    teacher=None,
    teacher_ckpt=None,
    num_students=1,
    distiller=dict(collective_losses=None),
)
