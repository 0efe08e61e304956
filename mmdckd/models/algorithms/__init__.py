from .collective_distill import CollectiveDistill

__all__ = ['CollectiveDistill']
