# Copyright (c) mmdckd contributors. All rights reserved.
# Fashion-MNIST at 32x32 with ResNet-20 students.
_base_ = 'methods.py'

import os  # noqa: E402 isort: skip

_small = os.environ.get('GPU_STUDY_DEVICE') == 'cpu'
_recipe = 'studies/gpu/configs/recipe.py'
_shallow = ['studies/gpu/configs/shallow.py'] if _small else []

name = 'gpu_fashion_mnist'
about = """
Fashion-MNIST padded to 32x32, 12,000 training images, 16 epochs. ResNet-56,
trained by the same recipe, teaches ResNet-20.
"""
teachers = dict(
    resnet56=dict(
        config=['studies/gpu/configs/fashion_mnist_network.py', _recipe],
        cfg_options={'model.backbone.depth': 8} if _small else {},
    )
)
pairs = {
    'resnet56_resnet20': dict(
        config=['studies/gpu/configs/fashion_mnist_pair.py', _recipe, *_shallow]
    )
}
