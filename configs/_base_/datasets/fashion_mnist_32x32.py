# Fashion-MNIST with a black frame of 2 pixels: 32x32, the size of CIFAR's networks.
_base_ = 'fashion_mnist.py'

train_pipeline = [
    dict(type='Pad', size=(32, 32)),
    dict(type='RandomCrop', crop_size=32, padding=2),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]

test_pipeline = [
    dict(type='Resize', scale=28),
    dict(type='Pad', size=(32, 32)),
    dict(type='PackInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
