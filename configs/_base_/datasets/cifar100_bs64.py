# CIFAR-100 in batches of 64. As is common for CIFAR-100, there is no validation
# split: validation uses the test images, and results are those of the last epoch.
_base_ = 'mmpretrain::_base_/datasets/cifar100_bs16.py'

train_dataloader = dict(batch_size=64)

val_dataloader = dict(batch_size=64)
val_evaluator = dict(topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
