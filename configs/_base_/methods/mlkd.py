# One student, taught the teacher's predictions, how images resemble each other
# in them and how classes do, at five temperatures (MLKD, Jin et al., CVPR
# 2023), with one view of each image.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_mlkd=dict(type='mmdckd.MLKDLoss')),
    ),
)
