# Copyright (c) mmdckd contributors. All rights reserved.
# ResNet-8 teaches ResNet-8: what the study is tested with on a CPU.
model = dict(
    teacher=dict(backbone=dict(depth=8)), architecture=dict(backbone=dict(depth=8))
)
