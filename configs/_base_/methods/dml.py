# Four students learn from each other (deep mutual learning, Zhang et al., CVPR
# 2018).
model = dict(
    teacher=None,
    teacher_ckpt=None,
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_dml=dict(
                type='mmdckd.DCKDLoss',
                alpha=0.0,
                beta=1.0,
                gamma=0.0,
                tau=1.0,
                collector='mean',
            )
        ),
    ),
)
