"""An HTML file that needs nothing beside it: its pictures and clips are inside."""

import base64
import html
from pathlib import Path

LARGEST = 18 << 20  # bytes of the page
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:82rem;padding:0 1rem;color:#1c2430}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:.25rem .5rem;border-bottom:1px solid #dde2ea;text-align:left}
th{background:#f3f5f9}.success{color:#0a7d33;font-weight:600}.failure{color:#b3541e;font-weight:600}
.fault,.aborted,.bad{color:#b00020}.odd{color:#8a5a00}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt{color:#5b6675}dd{margin:0}img,video{max-width:100%}section{border-top:1px solid #dde2ea;margin-top:1.2rem}
.pair{display:flex;gap:1rem;align-items:flex-start;flex-wrap:wrap}video{border-radius:6px;background:#eee}
"""


def _inline(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class Page:
    """Collects parts and knows how much room is left."""

    def __init__(self, title: str):
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        self.parts = [head + f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"]
        self.size = 0

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.size += len(text.encode())

    def media(self, kind: str, content: bytes, alt: str, poster: bytes = b"") -> None:
        """A picture or clip, left out when the page would become too large; ``poster`` is a JPEG to show before."""
        if self.size + 4 * (len(content) + len(poster)) // 3 > LARGEST:
            return
        data = _inline(kind, content)
        if kind.startswith("video"):
            shown = f' poster="{_inline("image/jpeg", poster)}"' if poster else ""
            self.add(f'<video controls muted loop{shown} src="{data}"></video>')
        else:
            self.add(f'<img alt="{html.escape(alt)}" src="{data}">')

    def table(self, rows: list[dict[str, str]]) -> None:
        """Rows with the same columns; an outcome is coloured."""
        e = html.escape
        head = "".join(f"<th>{e(name)}</th>" for name in rows[0])
        lines = (
            "".join(f'<td class="{e(v) if n == "outcome" else ""}">{e(v)}</td>' for n, v in row.items()) for row in rows
        )
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self.add(f"<table><tr>{head}</tr>{body}</table>")

    def write(self, path: Path) -> None:
        """The file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text("\n".join([*self.parts, "</html>"]), encoding="utf-8")
        partial.replace(path)
