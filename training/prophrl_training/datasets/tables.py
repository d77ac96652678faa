"""Rows of a dataset's parquet files as numpy arrays, kept in memory up to a budget."""

from __future__ import annotations

import collections
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout
from prophrl_training.datasets.features import Feature, numpy_dtype

_LISTS = pa.types.is_list, pa.types.is_fixed_size_list, pa.types.is_large_list


class Tables:
    """Columns of whole files, the least recently used dropped first."""

    def __init__(self, folder: Path, features: dict[str, Feature], budget: int) -> None:
        self._folder, self._features, self._budget = folder, features, budget
        self._kept: collections.OrderedDict[tuple[str, str], np.ndarray | pa.ChunkedArray] = collections.OrderedDict()
        self._places: dict[str, dict[int, tuple[int, int]]] = {}
        self._bytes = 0

    def place(self, file: str, episode_index: int, length: int) -> tuple[int, int]:
        """First row and the row after the last of an episode in ``file``."""
        if file not in self._places:
            self._places[file] = self._find_places(file)
        start, end = self._places[file].get(episode_index, (0, 0))
        if end - start != length:
            raise UserError(
                f"{self._folder}: {file}: expected {length} rows of episode {episode_index}, found {end - start}; "
                "the dataset is not whole"
            )
        return start, end

    def column(self, file: str, name: str) -> np.ndarray | pa.ChunkedArray:
        """One column of one file: (N, *shape), or Arrow values for pictures."""
        key = file, name
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        column = self._convert(self._read(file, name), file, self._features[name])
        self._kept[key] = column
        self._bytes += column.nbytes
        while self._bytes > self._budget and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
        return column

    def _find_places(self, file: str) -> dict[int, tuple[int, int]]:
        indices_N = self._read(file, "episode_index").to_numpy()
        starts = np.flatnonzero(np.r_[True, indices_N[1:] != indices_N[:-1]]) if len(indices_N) else np.zeros(0, int)
        ends = np.r_[starts[1:], len(indices_N)]
        if len(set(indices_N[starts])) != len(starts):
            raise UserError(f"{self._folder}: {file}: expected the rows of an episode together; the dataset is damaged")
        return {int(indices_N[a]): (int(a), int(b)) for a, b in zip(starts, ends, strict=True)}

    def _read(self, file: str, name: str) -> pa.ChunkedArray:
        path = layout.inside(self._folder, file, layout.MAX_PARQUET_BYTES)
        try:
            parquet = pq.ParquetFile(path, memory_map=True)
            if name not in parquet.schema_arrow.names:
                raise UserError(f"{self._folder}: {file}: expected the column {name}, found none")
            described = parquet.metadata
            size = sum(described.row_group(i).total_byte_size for i in range(described.num_row_groups))
            if size > layout.MAX_PARQUET_BYTES:
                most = layout.MAX_PARQUET_BYTES
                raise UserError(f"{self._folder}: {file}: expected at most {most} bytes unpacked, got {size}")
            return parquet.read(columns=[name], use_threads=False).column(0)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self._folder}: {file} cannot be read: {str(error).splitlines()[0][:120]}") from None

    def _convert(self, column: pa.ChunkedArray, file: str, feature: Feature) -> np.ndarray | pa.ChunkedArray:
        where = f"{self._folder}: {file}: {feature.name}"
        if column.null_count:
            raise UserError(f"{where}: expected a value in every row, found {column.null_count} empty; refused")
        if feature.is_image:
            return column
        if feature.dtype == "string":
            return np.array(column.to_pylist(), object)
        flat, rows = column.combine_chunks(), len(column)
        while isinstance(flat, pa.ExtensionArray):
            flat = flat.storage
        while any(is_list(flat.type) for is_list in _LISTS):
            lengths = pc.unique(pc.list_value_length(flat))
            if len(lengths) > 1:
                raise UserError(f"{where}: expected rows of shape {feature.shape}, got rows of different lengths")
            flat = flat.flatten()
        try:
            values = flat.to_numpy(zero_copy_only=False)
        except pa.ArrowException as error:
            raise UserError(f"{where}: expected numbers, got {flat.type} ({error})") from None
        if values.dtype == object or values.size != rows * math.prod(feature.shape):
            raise UserError(f"{where}: expected {feature.dtype} rows of shape {feature.shape}, got {column.type}")
        if values.dtype != numpy_dtype(feature):
            if np.dtype(feature.dtype).kind not in "fiub" or values.dtype.kind not in "fiub":
                raise UserError(f"{where}: expected {feature.dtype}, got {values.dtype}")
            values = values.astype(numpy_dtype(feature))
        return values.reshape(rows, *feature.row_shape)
