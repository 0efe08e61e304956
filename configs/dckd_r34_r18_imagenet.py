# ResNet-34, with the weights MMPretrain publishes, teaches four ResNet-18
# on ImageNet: 100 epochs on 8 GPUs with 32 images each.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    '_base_/default_runtime.py',
]

model = dict(
    type='mmdckd.CollectiveDistill',
    teacher=dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained=True),
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False
    ),
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    ),
)

val_cfg = dict(type='mmdckd.CollectiveValLoop')
test_cfg = dict(type='mmdckd.CollectiveTestLoop')

default_hooks = dict(checkpoint=dict(save_best='best/accuracy/top1'))

# As MMPretrain's, but a truncated image is an error; on_broken='skip' skips
# and counts it.
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmdckd.LoadImage'),
            *_base_.train_dataloader.dataset.pipeline[1:],
        ]
    )
)
