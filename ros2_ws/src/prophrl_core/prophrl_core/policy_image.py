"""The pixels a policy sees, cut the same way from a live camera, a recording or a simulated frame."""

import cv2
import numpy as np

from prophrl_core.errors import UserError
from prophrl_core.task import PolicyImage


def crop_and_resize(image_HW3: np.ndarray, spec: PolicyImage) -> np.ndarray:
    """Cut ``spec.crop`` out of an RGB image (H, W, 3) uint8 and average it down to (size, size, 3) uint8.

    Raises UserError when the crop does not lie inside the image.
    """
    x, y, width, height = spec.crop
    if x < 0 or y < 0 or y + height > image_HW3.shape[0] or x + width > image_HW3.shape[1]:
        raise UserError(
            f"policy image: expected a frame of at least {x + width}x{y + height} pixels from camera {spec.camera!r}, "
            f"got {image_HW3.shape[1]}x{image_HW3.shape[0]}; correct the task's image.crop or the camera's size"
        )
    part = image_HW3[y : y + height, x : x + width]
    return cv2.resize(part, (spec.size, spec.size), interpolation=cv2.INTER_AREA)
