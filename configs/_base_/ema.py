# For any config: validates and saves an exponential moving average of the weights.
custom_hooks = [dict(type='mmdckd.WeightAverageHook', average='ema')]
