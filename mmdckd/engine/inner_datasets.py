# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List


def inner_datasets(dataset: Any) -> List[Any]:
    """Return the datasets inside one of MMEngine's dataset wrappers, if any.

    Args:
        dataset (Any): A dataset.
    """
    single = getattr(dataset, 'dataset', None)
    several = getattr(dataset, 'datasets', None)
    return list(several or ([] if single is None else [single]))
