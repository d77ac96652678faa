"""Instructions as token ids: words hashed into a fixed number of buckets, so no vocabulary file.

Id 0 is padding. The hash is blake2s, the same on every machine and in every Python.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

BUCKETS = 1024
LENGTH = 16

_WORD = re.compile(r"[a-z0-9]+")


def word_id(word: str) -> int:
    """The bucket of one lower-case word, in ``1 .. BUCKETS - 1``."""
    digest = hashlib.blake2s(word.encode(), digest_size=4).digest()
    return 1 + int.from_bytes(digest, "big") % (BUCKETS - 1)


def tokenize(instruction: str) -> np.ndarray:
    """Token ids ``(LENGTH,)`` int64; punctuation and case are dropped, words past LENGTH cut."""
    ids_L = np.zeros(LENGTH, np.int64)
    words = _WORD.findall(instruction.lower())[:LENGTH]
    ids_L[: len(words)] = [word_id(word) for word in words]
    return ids_L
