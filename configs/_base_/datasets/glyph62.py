# Digits and letters of many fonts, 32x32; tools/datasets/make_glyph62.py renders
# them.
dataset_type = 'mmdckd.Glyph62'
data_root = 'data/glyph62'
# Mean and standard deviation of all pixels. Gray has no channel order.
data_preprocessor = dict(
    num_classes=62, mean=[33.0, 33.0, 33.0], std=[78.0, 78.0, 78.0], to_rgb=False
)

# Mirroring would change a letter, so letters are only shifted.
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=2),
    dict(type='PackInputs'),
]

# Images of the dataset already have this size; other images may not.
test_pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='train', pipeline=train_pipeline
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='val', pipeline=test_pipeline
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='test', pipeline=test_pipeline
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
