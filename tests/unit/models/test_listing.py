# Copyright (c) mmdckd contributors. All rights reserved.
import mmdckd
from mmdckd.models.collectors import BaseCollector
from mmdckd.models.losses import BaseCollectiveLoss
from mmdckd.registry import MODELS


def test_losses_are_what_a_config_can_say():
    names = mmdckd.list_losses()
    assert {'mmdckd.DCKDLoss', 'mmrazor.KLDivergence', 'mmrazor.WSLD'} <= set(names)
    for name in names:
        found = MODELS.get(name)
        assert name.startswith('mmrazor.') or issubclass(found, BaseCollectiveLoss)
        assert found.__name__ == name.split('.')[1]


def test_collectors_are_what_a_config_can_say():
    names = mmdckd.list_collectors()
    assert 'mmdckd.LogitMeanCollector' in names
    for name in names:
        assert issubclass(MODELS.get(name), BaseCollector)


def test_ones_own_are_listed():

    @MODELS.register_module()
    class ListedCollector(BaseCollector):
        def collect(self, log_probs, gt_labels, tau, members):
            return log_probs[0].exp()

    assert 'mmdckd.ListedCollector' in mmdckd.list_collectors()
