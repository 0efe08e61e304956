# Fashion-MNIST with small networks, for a few cores.
#   python tools/sweep.py configs/sweeps/fashion_mnist.py --only dist
_base_ = '../_base_/sweeps/methods.py'

name = 'fashion_mnist'
about = """
Fashion-MNIST, 30 epochs. ResNet-14 teaches a narrow ResNet-8.
"""

teachers = dict(resnet14=dict(config='configs/teachers/resnet14_fashion_mnist.py'))
pairs = dict(
    resnet14_resnet8=dict(
        config='configs/_base_/pairs/fashion_mnist/resnet14_resnet8.py'
    )
)
