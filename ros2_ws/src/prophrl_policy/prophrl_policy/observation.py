"""From a camera frame to the pixels a policy sees; the same for training, evaluation and the cell."""

from __future__ import annotations

import cv2
import numpy as np

from prophrl_core.errors import UserError
from prophrl_core.task import PolicyImage


def prepare_image(frame_HWC: np.ndarray, image: PolicyImage) -> np.ndarray:
    """Crop ``frame_HWC`` (uint8 RGB, the camera's resolution) and shrink it to ``(size, size, 3)``.

    Area averaging, so thin structures survive. Raises UserError when the crop leaves the frame.
    """
    x, y, width, height = image.crop
    rows, columns = frame_HWC.shape[:2]
    if x < 0 or y < 0 or x + width > columns or y + height > rows:
        raise UserError(
            f"policy image: expected a frame of at least {x + width}x{y + height} from camera {image.camera}, "
            f"got {columns}x{rows}; set the camera's resolution or the task's image.crop"
        )
    cropped = frame_HWC[y : y + height, x : x + width]
    return cv2.resize(cropped, (image.size, image.size), interpolation=cv2.INTER_AREA)
