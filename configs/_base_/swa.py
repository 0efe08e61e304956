# For any config: validates and saves the mean of the weights at the end of each epoch,
# over the last quarter of the epochs.
custom_hooks = [dict(type='mmdckd.WeightAverageHook', average='swa')]
