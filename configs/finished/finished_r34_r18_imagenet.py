# ResNet-34 teaches two ResNet-18 on ImageNet. Then a third learns twice as long
# from labels, from the teacher, and from the two, which have finished. The students
# take as many steps as the four of DCKD: 400 epochs in all.
_base_ = '../dckd_r34_r18_imagenet.py'

model = dict(
    num_students=1, distiller=dict(collective_losses=dict(loss_dckd=dict(gamma=0.0)))
)

phases = [
    {'model.num_students': 2, 'model.distiller.collective_losses.loss_dckd.beta': 0.0},
    {'times': 2, 'model.finished_peers': 'phase0'},
]
