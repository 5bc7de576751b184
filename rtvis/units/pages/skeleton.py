"""What all pages have in common: head, colours, keys. Nothing on them is fetched from elsewhere."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from rtvis.units import names

STYLE: Final = """\
:root{color-scheme:dark;--back:#14161a;--panel:#1c1f26;--text:#e6e8eb;--dim:#9aa0aa;--line:#2a2e37;
--chosen:#4cc9f0;--warn:#ff6b6b}
*{box-sizing:border-box}
body{margin:0;padding:12px 20px 40px;background:var(--back);color:var(--text);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums}
a{color:var(--chosen);text-decoration:none}a:hover{text-decoration:underline}
header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;padding-bottom:8px;
border-bottom:1px solid var(--line);margin-bottom:16px}
h1{font-size:18px;font-weight:600;margin:0}h2{font-size:14px;font-weight:600;margin:0 0 8px}
.dim,.dim a{color:var(--dim)}.warn{color:var(--warn)}.push{margin-left:auto}
table{border-collapse:collapse}th{font-weight:400;color:var(--dim);text-align:left}
th,td{padding:3px 14px 3px 0;vertical-align:middle}.n{text-align:right}
img{display:block;background:var(--panel)}
.layers td{border-top:1px solid var(--line)}.layers{width:100%}
.layers td:last-child{width:100%;max-width:0;padding-right:0}
.layers img{height:48px;max-width:none}
.strip{display:block;overflow:hidden;max-width:592.5px;
width:calc(round(down,100% + 1.5px,49.5px) - 1.5px)}
.tiles{display:flex;flex-wrap:wrap;gap:4px}
.tiles>div{display:flex;flex-wrap:wrap;gap:4px;content-visibility:auto;
contain-intrinsic-size:auto 1100px;width:100%}
.t{width:64px;height:80px;font-size:11px;line-height:16px;text-align:center;color:var(--dim);
background:var(--panel);display:block}.t i{display:block;height:64px;background-repeat:no-repeat}
.t:hover,.t:target{color:var(--text);outline:1px solid var(--chosen);text-decoration:none}
.t.dead{opacity:.45}
form{display:flex;gap:8px 16px;flex-wrap:wrap;margin:0 0 12px;align-items:center}
[hidden]{display:none!important}p,h1{overflow-wrap:anywhere}
select,input{background:var(--panel);color:var(--text);border:1px solid var(--line);
font:inherit;padding:2px 6px}input{width:6em}input[type=search]{width:11em}
.unit{display:grid;grid-template-columns:minmax(240px,300px) 1fr;gap:24px}
.unit aside img{width:100%;height:auto}.unit aside section{margin-bottom:20px}
.unit aside td{padding-right:8px}.unit aside th{white-space:nowrap}
.rows{display:grid;grid-template-columns:minmax(130px,240px) minmax(60px,114px) minmax(80px,170px)
repeat(3,minmax(60px,114px));gap:8px 10px;align-items:center}
.rows img{max-width:100%;max-height:114px}
.rows .head{color:var(--dim);font-size:12px}
.rows .say{font-size:12px;overflow-wrap:anywhere}.rows .say b{font-size:14px;font-weight:600}
svg{display:block}svg rect{fill:var(--dim)}
@media(max-width:900px){.unit{grid-template-columns:1fr}.unit aside{display:flex;flex-wrap:wrap;
gap:20px}.unit aside section{width:260px}}
@media(max-width:700px){body{padding:8px 12px 32px}.layers,.layers tbody{display:block}
.layers tr:first-child{display:none}.layers tr{display:flex;flex-wrap:wrap;gap:0 12px;
align-items:baseline;border-top:1px solid var(--line);padding:6px 0}
.layers td{display:block;border:0;padding:0;text-align:left}.layers td:empty{display:none}
.layers td:first-child{width:100%;overflow-wrap:anywhere}
.layers td:last-child{max-width:none;padding-top:4px}
.layers .n::before{color:var(--dim)}.layers .n:nth-child(3)::before{content:"units "}
.layers .n:nth-child(4)::before{content:"map "}.layers .n:nth-child(5)::before{content:"sees "}
.layers .n:nth-child(6)::before{content:"dead "}.layers .n:nth-child(7)::before{content:"pictures "}
.layers .n:nth-child(8)::before{content:"optimised "}
.rows{grid-template-columns:repeat(5,1fr);gap:6px}.rows .say{grid-column:1/-1;margin-top:6px}
.rows .head:first-child{display:none}.rows .head{font-size:11px}}
"""

SCRIPT: Final = """\
"use strict";
addEventListener("keydown", event => {
  if (event.target.matches("input,select")) return;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const rel = {ArrowLeft: "prev", ArrowRight: "next", ArrowUp: "up"}[event.key];
  const link = rel && document.querySelector(`a[rel=${rel}]`);
  if (link) { event.preventDefault(); location.href = link.href; }
});
const tiles = document.querySelector(".tiles"), form = document.querySelector("form");
if (form) {
  form.hidden = false;
  form.addEventListener("submit", event => event.preventDefault());
}
if (form?.elements.layer) {
  const rows = [...document.querySelectorAll(".layers tr")].slice(1);
  const find = () => {
    const text = form.elements.layer.value.trim().toLowerCase();
    for (const row of rows)
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
  };
  form.elements.layer.addEventListener("input", find);
  find();
}
if (tiles) {
  const all = [...tiles.querySelectorAll(".t")], found = form.querySelector("output");
  const put = order => {
    tiles.replaceChildren();
    for (let first = 0; first < order.length; first += 256) {
      const part = document.createElement("div");
      part.append(...order.slice(first, first + 256));
      tiles.append(part);
    }
  };
  const show = () => {
    const by = form.elements.sort.selectedIndex - 1;
    const text = form.elements.class?.value.trim().toLowerCase() ?? "";
    const answers = tile => tile.title.split("answers most to ")[1]?.toLowerCase() ?? "";
    const some = all.filter(tile => !text || answers(tile).includes(text));
    const value = tile => by < 0 ? 0 : parseFloat(tile.dataset.v.split(" ")[by]);
    const rank = x => Number.isNaN(x) ? -Infinity : x;
    put(some.sort((a, b) => (rank(value(b)) - rank(value(a))) || 0));
    if (found) found.textContent = text ? `${some.length} of ${all.length} units` : "";
  };
  form.elements.sort.addEventListener("change", show);
  form.elements.class?.addEventListener("input", show);
  // A browser that comes back to a page fills in what stood there.
  if (form.elements.sort.selectedIndex > 0 || form.elements.class?.value) show();
  form.elements.show?.addEventListener("change", event => {
    document.body.className = event.target.value;
  });
  form.elements.unit.addEventListener("change", event => {
    const tile = document.getElementById(`u${parseInt(event.target.value)}`);
    if (tile) location.href = tile.href;
  });
}
"""


def page(
    heading: str,
    body: str,
    *,
    title: str,
    root: str | None,
    crumbs: Sequence[tuple[str, str]] = (),
    links: Iterable[str] = (),
    style: str = "",
    shown: str = "",
) -> bytes:
    """A whole page.

    Args:
        heading: Text.
        body: HTML.
        title: Text, for the browser's tab.
        root: The way to the store's folder: "" or "../"; None: the page stands alone.
        crumbs: (text, address) of the pages above, the farthest first.
        links: HTML for the right end of the head.
        style: CSS of this page alone.
        shown: Class of the body.
    """
    above = "".join(
        f'<a{" rel=up" if index == len(crumbs) - 1 else ""} href="{address}">{escape(text)}</a>'
        f'<span class="dim">/</span>'
        for index, (text, address) in enumerate(crumbs)
    )
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        f"{'' if root is None else _shared(root)}"
        f"{f'<style>{style}</style>' if style else ''}"
        f'</head><body class="{shown}">\n'
        f"<header>{above}<h1>{escape(heading)}</h1>"
        f'<span class="push">{"".join(links)}</span></header>\n{body}\n</body></html>\n'
    )
    return text.encode()


def _shared(root: str) -> str:
    return (
        f'<link rel="stylesheet" href="{root}{names.STYLE}">\n'
        f'<script defer src="{root}{names.SCRIPT}"></script>\n'
    )


def number(value: float) -> str:
    """`3.142`, `1.2e-05`; nothing for what is no number."""
    return f"{value:.4g}" if value == value and abs(value) != float("inf") else ""  # noqa: PLR0124


def percent(share: float) -> str:
    """`12.3 %`."""
    return f"{share:.1%}".replace("%", " %") if share == share else ""  # noqa: PLR0124


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, the values as HTML."""
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"
