# ResNet-34 teaches four ResNet-18 on handwritten digits; both are narrow.
# Train the teacher first: tools/train.py configs/teachers/resnet34_digits.py
_base_ = '_base_/pairs/digits/resnet34_resnet18.py'

model = dict(
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    ),
)

default_hooks = dict(logger=dict(interval=10))
