from .collective_distiller import CollectiveDistiller

__all__ = ['CollectiveDistiller']
