"""Owns names with a host or a namespace, `HOST/NAMESPACE/NAME`: they mean NAME."""

from __future__ import annotations

from app.errors import ModelNotFound
from app.models.catalog import Catalog


def local_name(catalog: Catalog, name: str) -> str:
    """Return the name by which a model is known here: without host and namespace, or as it is.

    An alias may have slashes, and then it is that.
    """
    bare = name.rpartition("/")[2]
    if bare == name or _is_known(catalog, name) or not _is_known(catalog, bare):
        return name
    return bare


def _is_known(catalog: Catalog, name: str) -> bool:
    try:
        return bool(catalog.find(name))
    except ModelNotFound:
        return False
