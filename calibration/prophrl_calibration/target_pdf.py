"""A target as a PDF at true scale, with a ruler to check the printer."""

from pathlib import Path

from prophrl_calibration.target import Target

_MARGIN = 0.6  # squares
_FOOT = 0.016  # m under the board, for text and ruler
_INCH = 0.0254


def write_pdf(target: Target, path: Path) -> tuple[float, float]:
    """Write the board as vector graphics; returns the page's width and height in metres."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    margin = _MARGIN * target.square
    width, height = target.width + 2 * margin, target.height + 2 * margin + _FOOT
    figure = Figure(figsize=(width / _INCH, height / _INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-margin, target.width + margin)
    axes.set_ylim(target.height + margin + _FOOT, -margin)
    axes.set_axis_off()
    black = [Rectangle((x, y), w, h) for x, y, w, h in rectangles(target)]
    axes.add_collection(PatchCollection(black, facecolor="black", edgecolor="none", antialiased=False))
    foot = target.height + margin + 0.3 * _FOOT
    axes.add_collection(PatchCollection([Rectangle((0, foot), 0.1, 0.0008)], facecolor="black", edgecolor="none"))
    for x in (0.0, 0.1):
        axes.add_collection(
            PatchCollection(
                [Rectangle((x - 0.0002, foot - 0.0015), 0.0004, 0.003)], facecolor="black", edgecolor="none"
            )
        )
    words = (
        f"{target.columns} x {target.rows}, squares {1e3 * target.square:g} mm, markers {1e3 * target.marker:g} mm, "
        f"{target.dictionary}. "
        "The line is 100 mm: print without scaling, measure, give --square as measured."
    )
    axes.text(0, foot + 0.0035, words, fontsize=min(7.0, 22 * target.width), va="top")
    FigureCanvasPdf(figure).print_pdf(str(path))
    return width, height


def rectangles(target: Target) -> list[tuple[float, float, float, float]]:
    """Black rectangles of the print as x, y, width, height in metres, y down."""
    board, codes, s = target.board, target.codes, target.square
    found = [(c * s, r * s, s, s) for r in range(target.rows) for c in range(r % 2, target.columns, 2)]
    modules = codes.markerSize + 2
    cell = target.marker / modules
    for number, corners in zip(board.getIds().ravel(), board.getObjPoints()):
        x0, y0 = corners[:, :2].min(0)
        for row, line in enumerate(codes.generateImageMarker(int(number), modules, borderBits=1)):
            column = 0
            while column < modules:
                end = column
                while end < modules and line[end] < 128:
                    end += 1
                if end > column:
                    found.append((float(x0 + column * cell), float(y0 + row * cell), (end - column) * cell, cell))
                column = max(end, column + 1)
    return found
