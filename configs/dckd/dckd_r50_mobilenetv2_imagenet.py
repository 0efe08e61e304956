# ResNet-50, with the weights MMPretrain publishes, teaches four MobileNetV2 on
# ImageNet, by MMPretrain's schedule for MobileNetV2: 300 epochs on 8 GPUs with
# 32 images each.
_base_ = '../dckd_r34_r18_imagenet.py'

model = dict(
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
)

# As mmpretrain::_base_/schedules/imagenet_bs256_epochstep.py.
optim_wrapper = dict(optimizer=dict(lr=0.045, weight_decay=0.00004))
param_scheduler = dict(
    _delete_=True, type='StepLR', by_epoch=True, step_size=1, gamma=0.98
)
train_cfg = dict(max_epochs=300)
