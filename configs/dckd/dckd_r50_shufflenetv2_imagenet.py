# ResNet-50, with the weights MMPretrain publishes, teaches four ShuffleNetV2 on
# ImageNet, by MMPretrain's schedule for ShuffleNetV2: 300 epochs on 16 GPUs with
# 64 images each.
_base_ = '../dckd_r34_r18_imagenet.py'

model = dict(
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
    architecture=dict(
        cfg_path='mmpretrain::shufflenet_v2/shufflenet-v2-1x_16xb64_in1k.py'
    ),
)

# As mmpretrain::_base_/schedules/imagenet_bs1024_linearlr_bn_nowd.py.
optim_wrapper = dict(
    optimizer=dict(lr=0.5, weight_decay=0.00004), paramwise_cfg=dict(norm_decay_mult=0)
)
param_scheduler = [
    dict(type='ConstantLR', factor=0.1, by_epoch=False, begin=0, end=5000),
    dict(type='PolyLR', eta_min=0, by_epoch=False, begin=5000),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=1024)

train_dataloader = dict(batch_size=64)
val_dataloader = dict(batch_size=64)
test_dataloader = dict(batch_size=64)
