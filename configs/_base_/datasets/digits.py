# Handwritten digits, 8x8, that come with scikit-learn.
dataset_type = 'mmdckd.Digits'
# Mean and standard deviation of all pixels. Gray has no channel order.
data_preprocessor = dict(
    num_classes=10, mean=[77.8, 77.8, 77.8], std=[95.9, 95.9, 95.9], to_rgb=False
)

# Mirroring would change a digit, so digits are only shifted.
train_pipeline = [
    dict(type='RandomCrop', crop_size=8, padding=1),
    dict(type='PackInputs'),
]

# Digits of the dataset already have this size; other images may not.
test_pipeline = [dict(type='Resize', scale=8), dict(type='PackInputs')]

# Preparing 8x8 images is faster than passing them between processes.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(type=dataset_type, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)

val_dataloader = dict(
    batch_size=360,
    num_workers=0,
    dataset=dict(type=dataset_type, split='val', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = dict(
    batch_size=360,
    num_workers=0,
    dataset=dict(type=dataset_type, split='test', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
