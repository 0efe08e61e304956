# Fashion-MNIST, 28x28, from the folder of Debian's dataset-fashion-mnist or
# dataset.data_root. 55,000 training images (or dataset.num_images), 5,000
# validation images.
dataset_type = 'mmdckd.FashionMNIST'
# Mean and standard deviation of all pixels. Gray has no channel order.
data_preprocessor = dict(
    num_classes=10, mean=[73.0, 73.0, 73.0], std=[90.0, 90.0, 90.0], to_rgb=False
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]

# Images of the dataset already have this size; other images may not.
test_pipeline = [dict(type='Resize', scale=28), dict(type='PackInputs')]

# Preparing 28x28 images is faster than passing them between processes.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(type=dataset_type, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)

val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    dataset=dict(type=dataset_type, split='val', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    dataset=dict(type=dataset_type, split='test', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
