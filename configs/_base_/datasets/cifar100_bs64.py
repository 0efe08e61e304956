# CIFAR-100 in batches of 64. There is no validation split: as is usual for it,
# the test images validate, and the last epoch counts.
_base_ = 'mmpretrain::_base_/datasets/cifar100_bs16.py'

train_dataloader = dict(batch_size=64)

val_dataloader = dict(batch_size=64)
val_evaluator = dict(topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
