# Four students, taught by the teacher as in kd.py and by each other as in
# dml.py.
model = dict(
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_kd=dict(
                type='mmdckd.DCKDLoss', alpha=1., beta=0., gamma=0., tau=4.),
            loss_dml=dict(
                type='mmdckd.DCKDLoss',
                alpha=0.,
                beta=1.,
                gamma=0.,
                tau=1.,
                collector='mean'))))
