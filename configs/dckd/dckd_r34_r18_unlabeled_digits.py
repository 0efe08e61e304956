# The digits of dckd_r34_r18_digits.py. The students have labels of only 100 images:
# three quarters of a batch are taken from all 1,077 images, without labels. The
# teacher is the same, and was trained with all labels.
_base_ = '../dckd_r34_r18_digits.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmdckd.WithUnlabeled',
        dataset=dict(
            type='mmdckd.Digits',
            split='train',
            num_images=100,
            pipeline={{_base_.train_pipeline}},
        ),
        unlabeled=dict(
            type='mmdckd.Digits', split='train', pipeline={{_base_.train_pipeline}}
        ),
    ),
    batch_sampler=dict(type='mmdckd.MixedBatchSampler', unlabeled_share=0.75),
)

# An epoch is a pass over the labeled images, 7 steps: 100 are as many steps as
# 40 are where all images have labels.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=10,
        T_max=90,
        end=100,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=100, val_interval=5)
