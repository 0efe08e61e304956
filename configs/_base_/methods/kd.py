# One student learns from the teacher (Hinton et al., 2015).
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_kd=dict(
                type='mmdckd.DCKDLoss', alpha=1.0, beta=0.0, gamma=0.0, tau=4.0
            )
        ),
    ),
)
