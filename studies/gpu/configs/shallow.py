# Copyright (c) mmdckd contributors. All rights reserved.
# ResNet-8 teaches ResNet-8, to test the study on a CPU.
model = dict(
    teacher=dict(backbone=dict(depth=8)), architecture=dict(backbone=dict(depth=8))
)
