"""Images as an episode stores them: JPEG, PNG or zstd inside CompressedImage, read from wire bytes.

Topics and formats are those of image_transport's compressed, compressedDepth and zstd plugins.
"""

import struct

import cv2
import numpy as np
from backports import zstd

from prophrl_cell.image_cdr import ImageView, compressed_image_message, read_image

cv2.setNumThreads(1)  # a pool of threads costs more than a 640x480 picture gains
# compressedDepth prefixes 12 bytes: format (0: plain PNG) and two unused parameters.
DEPTH_PREFIX = struct.pack("<iff", 0, 0.0, 0.0)
ZSTD_LEVEL = 1
# Storage -> encoding of the pixels that it takes.
PIXELS = {"jpeg": "rgb8", "png": "rgb8", "depth_png": "16UC1", "depth_zstd": "16UC1"}


def pack_image(message: bytes, storage: str, jpeg_quality: int) -> bytes:
    """CDR of a CompressedImage from CDR of an Image (rgb8, or 16UC1 for depth).

    Raises ValueError when the message is not a whole image of the kind that ``storage`` takes.
    """
    image = read_image(message)
    if image.encoding != PIXELS[storage]:
        raise ValueError(f"expected {PIXELS[storage]} pixels for {storage}, got {image.encoding}")
    try:
        codec, data = _PACKERS[storage](image, jpeg_quality)
    except cv2.error as error:
        raise ValueError(f"expected a picture that packs as {storage}, got: {' '.join(str(error).split())}") from None
    return compressed_image_message(image.stamp_ns, image.frame_id, codec, data)


def _jpeg(image: ImageView, quality: int) -> tuple[str, np.ndarray]:
    bgr = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR)
    return "rgb8; jpeg compressed bgr8", cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]


def _png(image: ImageView, quality: int) -> tuple[str, np.ndarray]:
    bgr = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR)
    return "rgb8; png compressed bgr8", cv2.imencode(".png", bgr, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1]


def _depth_png(image: ImageView, quality: int) -> tuple[str, bytes]:
    data = cv2.imencode(".png", image.pixels, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1]
    return "16UC1; compressedDepth png", DEPTH_PREFIX + data.tobytes()


def _depth_zstd(image: ImageView, quality: int) -> tuple[str, bytes]:
    """Height, width, is_bigendian, step, encoding, then one zstd frame of the pixels."""
    height, width = image.pixels.shape
    encoding = image.encoding.encode()
    prefix = struct.pack("<IIBII", height, width, 0, 2 * width, len(encoding)) + encoding
    return "zstd", prefix + zstd.compress(np.ascontiguousarray(image.pixels), ZSTD_LEVEL)


_PACKERS = {"jpeg": _jpeg, "png": _png, "depth_png": _depth_png, "depth_zstd": _depth_zstd}
