# ResNet-14, trained alone on Fashion-MNIST: a teacher.
_base_ = [
    '../_base_/models/crd/resnet14.py',
    '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/cosine_bs64_30e.py',
    '../_base_/alone.py',
]

model = dict(head=dict(num_classes=10))

work_dir = 'work_dirs/fashion_mnist/resnet14'
