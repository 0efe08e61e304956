# Four students, taught by each other alone (deep mutual learning, Zhang et
# al., CVPR 2018).
_base_ = '../dckd_r34_r18_digits.py'

model = dict(
    teacher=None,
    teacher_ckpt=None,
    distiller=dict(
        collective_losses=dict(
            loss_dckd=dict(alpha=0.0, gamma=0.0, tau=1.0, collector='mean')
        )
    ),
)
