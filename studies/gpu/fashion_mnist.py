# Copyright (c) mmdckd contributors. All rights reserved.
# Fashion-MNIST at 32x32 with ResNet-20 students.
_base_ = 'methods.py'

_configs = 'studies/gpu/configs/'

name = 'gpu_fashion_mnist'
about = """
Fashion-MNIST padded to 32x32, 12,000 training images, 16 epochs. ResNet-56,
trained by the same recipe, teaches ResNet-20.
"""
teachers = dict(
    resnet56=dict(
        config=[f'{_configs}fashion_mnist_network.py', f'{_configs}recipe.py']
    )
)
pairs = dict(
    resnet56_resnet20=dict(
        config=[f'{_configs}fashion_mnist_pair.py', f'{_configs}recipe.py']
    )
)
