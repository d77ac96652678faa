"""Which scene layouts belong to whom, so that nothing is ever evaluated on what it was trained or tuned on."""

from __future__ import annotations

from prophrl_core.errors import UserError

BLOCK = 10_000  # scene seeds per command-line seed
_USES = {"demonstrations": 0, "validation": 1, "development": 2, "evaluation": 3}
_SPAN = 100_000_000


def scene_seeds(use: str, seed: int, n: int) -> range:
    """The first ``n`` scene seeds of ``seed`` for one use; different uses and seeds never share one."""
    if not 0 <= seed < _SPAN // BLOCK:
        raise UserError(f"seed: expected 0 to {_SPAN // BLOCK - 1}, got {seed}")
    if not 0 < n <= BLOCK:
        raise UserError(f"number of scenes: expected 1 to {BLOCK}, got {n}")
    first = _USES[use] * _SPAN + seed * BLOCK
    return range(first, first + n)
