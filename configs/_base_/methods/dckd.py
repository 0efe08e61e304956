# Four students, taught by the teacher and by what is collected of the others,
# in this project's formulation.
model = dict(
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    ),
)
