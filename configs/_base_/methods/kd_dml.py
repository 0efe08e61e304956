# Four students learn from the teacher as in kd.py and from each other as in
# dml.py.
model = dict(
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_kd=dict(
                type='mmdckd.DCKDLoss', alpha=1.0, beta=0.0, gamma=0.0, tau=4.0
            ),
            loss_dml=dict(
                type='mmdckd.DCKDLoss',
                alpha=0.0,
                beta=1.0,
                gamma=0.0,
                tau=1.0,
                collector='mean',
            ),
        ),
    ),
)
