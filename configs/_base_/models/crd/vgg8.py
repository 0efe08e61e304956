# VGG-8 of the benchmark of CRD.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdckd.CIFARVGG', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)
