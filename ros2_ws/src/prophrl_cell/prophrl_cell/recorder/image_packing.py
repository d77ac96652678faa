"""Images as an episode stores them: JPEG or PNG inside CompressedImage, read from wire bytes."""

import struct

import cv2

from prophrl_cell.image_cdr import compressed_image_message, read_image

# image_transport's compressedDepth prefixes 12 bytes: format (0: plain PNG) and two unused parameters.
cv2.setNumThreads(1)  # a pool of threads costs more than a 640x480 picture gains
DEPTH_PREFIX = struct.pack("<iff", 0, 0.0, 0.0)


def pack_image(message: bytes, storage: str, jpeg_quality: int) -> bytes:
    """CDR of a CompressedImage from CDR of an Image (rgb8, or 16UC1 for depth_png).

    Raises ValueError when the message is not a whole image of the kind that ``storage`` takes.
    """
    image = read_image(message)
    wanted = "16UC1" if storage == "depth_png" else "rgb8"
    if image.encoding != wanted:
        raise ValueError(f"expected {wanted} pixels for {storage}, got {image.encoding}")
    if storage == "depth_png":
        _, data = cv2.imencode(".png", image.pixels, (cv2.IMWRITE_PNG_COMPRESSION, 1))
        codec, data = "16UC1; compressedDepth png", DEPTH_PREFIX + data.tobytes()
    else:
        bgr = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR)
        if storage == "jpeg":
            _, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, jpeg_quality))
        else:
            _, data = cv2.imencode(".png", bgr, (cv2.IMWRITE_PNG_COMPRESSION, 1))
        codec, data = f"rgb8; {storage} compressed bgr8", data.tobytes()
    return compressed_image_message(image.stamp_ns, image.frame_id, codec, data)
