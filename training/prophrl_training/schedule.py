"""The learning rate of one step."""

import math


def cosine_rate(step: int, steps: int, peak: float, warm_up: int, final_share: float) -> float:
    """Linear warm-up, then half a cosine down to ``final_share`` of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    along = (step - warm_up) / max(1, steps - warm_up)
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * along)))
