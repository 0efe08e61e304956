# A peer learns from the teacher; then a student learns, four times as long, from
# labels, from the teacher, and from the peer, which has finished.
model = dict(
    num_students=1,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', gamma=0.0)),
    ),
)

phases = [
    {'model.distiller.collective_losses.loss_dckd.beta': 0.0},
    {'times': 4, 'model.finished_peers': 'phase0'},
]
