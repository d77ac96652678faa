"""Text helpers for generated MJCF."""

import numpy as np


def numbers(values) -> str:
    """Space-separated decimal text that reads back as exactly the same floats."""
    return " ".join(repr(float(v)) for v in np.ravel(values))


def geom(kind: str, material: str, size, pos=None, fromto=None, cls: str = "visual", **more) -> str:
    """One geom of class ``cls``; numbers are written exactly, ``more`` attributes (name, quat, ...) as they are."""
    placed = {"pos": pos, "fromto": fromto, "size": size}
    text = [f'class="{cls}" type="{kind}"']
    text += [f'{name}="{numbers(values)}"' for name, values in placed.items() if values is not None]
    text += [f'{name}="{value}"' for name, value in more.items()]
    return f'<geom {" ".join(text)} material="{material}"/>'
