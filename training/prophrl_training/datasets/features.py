"""The columns of a dataset as ``meta/info.json`` describes them, checked before anything is read by them."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
from prophrl_core.errors import UserError

IMAGE_DTYPES = ("video", "image")
MAX_FEATURES = 1000
MAX_IMAGE_SIDE = 8192
MAX_ROW_VALUES = 1 << 24  # of one row of one feature
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,199}")
_NUMERIC = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")


@dataclasses.dataclass(frozen=True)
class Feature:
    """One column. ``dtype`` is video, image, string or a numpy name; images have shape (H, W, C)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether rows of it are pictures."""
        return self.dtype in IMAGE_DTYPES

    @property
    def is_float(self) -> bool:
        """Whether it holds real numbers, which training normalises."""
        return self.dtype.startswith("float")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row as read: LeRobot stores shape (1,) as a scalar."""
        return () if self.shape == (1,) else self.shape


def parse_features(raw: object, where: str) -> dict[str, Feature]:
    """``info["features"]`` as Features; UserError names the first that is not sound."""
    if not isinstance(raw, dict) or not 1 <= len(raw) <= MAX_FEATURES:
        raise UserError(f"{where}: expected 'features' to describe 1 to {MAX_FEATURES} columns; is it a dataset?")
    return {name: _feature(name, entry, where) for name, entry in raw.items()}


def _feature(name: str, entry: object, where: str) -> Feature:
    if not _NAME.fullmatch(name) or ".." in name:
        raise UserError(f"{where}: expected a feature name of letters, digits, '_', '-' and '.', got {name[:80]!r}")
    if not isinstance(entry, dict) or not isinstance(entry.get("shape"), list | tuple):
        raise UserError(f"{where}: feature {name}: expected a dtype and a shape, got {str(entry)[:80]!r}")
    dtype, shape = entry.get("dtype"), tuple(entry["shape"])
    if not isinstance(dtype, str) or not (dtype in (*IMAGE_DTYPES, "string") or _NUMERIC.fullmatch(dtype)):
        raise UserError(f"{where}: feature {name}: expected video, image, string or a numpy dtype, got {dtype!r}")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in shape):
        raise UserError(f"{where}: feature {name}: expected a shape of whole numbers above 0, got {list(shape)}")
    if math.prod(shape) > MAX_ROW_VALUES:
        raise UserError(f"{where}: feature {name}: expected at most {MAX_ROW_VALUES} values a row, got {list(shape)}")
    if dtype in IMAGE_DTYPES:
        shape = _image_shape(name, shape, where)
    return Feature(name, dtype, shape, _value_names(entry.get("names")))


def _image_shape(name: str, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """(H, W, C), also when it was written as (C, H, W)."""
    if len(shape) == 3 and shape[-1] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        shape = (*shape[1:], shape[0])
    if len(shape) != 3 or shape[-1] not in (1, 3, 4) or max(shape[:2]) > MAX_IMAGE_SIDE:
        raise UserError(
            f"{where}: feature {name}: expected an image shape (height, width, channels) of at most "
            f"{MAX_IMAGE_SIDE} pixels a side, got {list(shape)}"
        )
    return shape


def _value_names(names: object) -> tuple[str, ...]:
    """Names of the values: a list, or a mapping to lists as many datasets have it."""
    if isinstance(names, dict):
        names = [item for value in names.values() for item in (value if isinstance(value, list) else [value])]
    return tuple(str(name)[:200] for name in names) if isinstance(names, list) else ()


def numpy_dtype(feature: Feature) -> np.dtype:
    """The dtype rows are read as."""
    return np.dtype(object if feature.dtype == "string" else feature.dtype)
