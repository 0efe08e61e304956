# DCKD in this project's formulation: four students learn from the teacher and
# from the combined predictions of the other students.
model = dict(
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    ),
)
