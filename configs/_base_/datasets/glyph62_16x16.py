# Glyph62 for a few cores: 16x16, with a subset of the training and validation
# images, and all test images.
_base_ = 'glyph62.py'

data_preprocessor = dict(std=[72.0, 72.0, 72.0])

train_pipeline = [
    dict(type='RandomCrop', crop_size=16, padding=1),
    dict(type='PackInputs'),
]

test_pipeline = [dict(type='Resize', scale=16), dict(type='PackInputs')]

# Preparing 16x16 images is faster than passing them between processes.
train_dataloader = dict(
    num_workers=0, dataset=dict(size=16, subset=8000, pipeline=train_pipeline)
)

val_dataloader = dict(
    num_workers=0, dataset=dict(size=16, subset=2000, pipeline=test_pipeline)
)

test_dataloader = dict(num_workers=0, dataset=dict(size=16, pipeline=test_pipeline))
