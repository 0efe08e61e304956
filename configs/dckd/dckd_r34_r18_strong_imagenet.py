# As dckd_r34_r18_imagenet.py with a stronger recipe: 200 epochs with a warm-up
# and a cosine, smoothed labels in the students' own loss.
_base_ = '../dckd_r34_r18_imagenet.py'

model = dict(
    architecture=dict(
        head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1))
    )
)

# As mmpretrain::_base_/schedules/imagenet_bs256_200e_coslr_warmup.py.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.25, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=5, T_max=195, end=200),
]

train_cfg = dict(max_epochs=200)
