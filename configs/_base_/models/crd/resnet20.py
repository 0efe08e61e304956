# ResNet-20 for 32x32, of the benchmark of CRD.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdckd.CIFARResNet', depth=20),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)
