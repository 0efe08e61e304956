# Four students learn from one target: for each class, the smallest margin over
# the label among all students (KDCL-MinLogit, Guo et al., CVPR 2020).
model = dict(
    teacher=None,
    teacher_ckpt=None,
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_kdcl=dict(
                type='mmdckd.DCKDLoss',
                alpha=0.0,
                beta=1.0,
                gamma=0.0,
                tau=2.0,
                collector=dict(type='min_logit', include_self=True),
            )
        ),
    ),
)
