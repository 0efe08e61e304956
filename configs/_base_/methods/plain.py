# One student is trained alone.
model = dict(
    teacher=None,
    teacher_ckpt=None,
    num_students=1,
    distiller=dict(type='mmdckd.CollectiveDistiller'),
)
