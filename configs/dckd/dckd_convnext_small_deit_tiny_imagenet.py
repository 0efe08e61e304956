# ConvNeXt-Small, with the weights MMPretrain publishes, teaches four distilled
# DeiT-Tiny: the distillation token learns from the teacher and the peers, the
# class token from the labels. ImageNet, by MMPretrain's recipe for DeiT-Tiny:
# 300 epochs on 4 GPUs with 256 images each.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='mmdckd.CollectiveDistill',
    teacher=dict(
        cfg_path='mmpretrain::convnext/convnext-small_32xb128_in1k.py', pretrained=True
    ),
    architecture=dict(cfg_path='mmpretrain::deit/deit-tiny-distilled_4xb256_in1k.py'),
    num_students=4,
    distiller=dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    ),
)

val_cfg = dict(type='mmdckd.CollectiveValLoop')
test_cfg = dict(type='mmdckd.CollectiveTestLoop')
default_hooks = dict(checkpoint=dict(save_best='best/accuracy/top1'))

# As mmpretrain::deit/deit-tiny-distilled_4xb256_in1k.py, but for the loading:
# a truncated image is an error.
train_dataloader = dict(
    batch_size=256,
    dataset=dict(
        pipeline=[
            dict(type='mmdckd.LoadImage'),
            *_base_.train_dataloader.dataset.pipeline[1:],
        ]
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
        }
    ),
    clip_grad=dict(max_norm=5.0),
)
