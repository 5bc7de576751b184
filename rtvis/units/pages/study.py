"""The page of a study: sliders for layer and numbers, and the pictures on the way (DV-29)."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from rtvis.units.pages.skeleton import STYLE, page

_STYLE: Final = """\
#sliders{display:grid;grid-template-columns:max-content minmax(120px,320px) 1fr;gap:6px 14px;
align-items:center;margin-bottom:16px}
input[type=range]{width:100%;padding:0;accent-color:var(--chosen)}
#units,#runs{display:flex;flex-wrap:wrap;gap:8px;margin-bottom:20px}
#units button{padding:0;border:1px solid var(--line);background:var(--panel);color:var(--dim);
font:inherit;font-size:12px;cursor:pointer}
#units button[aria-pressed=true]{border-color:var(--chosen);color:var(--text);
outline:1px solid var(--chosen)}
#units img{width:96px;height:96px;object-fit:contain}
figure{margin:0}figure img{width:224px;height:224px;object-fit:contain}
figcaption{color:var(--dim);font-size:12px}
"""

_SCRIPT: Final = """\
"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const all = study.visualizations, at = id => document.getElementById(id);
const distinct = values => [...new Set(values.map(value => JSON.stringify(value)))].map(JSON.parse);
const axes = [["layer", "module_name"], ...Object.keys(study.parameters).map(key => [key, key])]
  .map(([text, key]) => ({text, key, values: distinct(all.map(one => one[key])), index: 0}))
  .filter(axis => axis.values.length > 1);
let unit = null;
const here = () => all.filter(one => axes.every(axis =>
  JSON.stringify(one[axis.key]) === JSON.stringify(axis.values[axis.index])));
const added = (parent, name, properties) =>
  parent.appendChild(Object.assign(document.createElement(name), properties));
const show = () => {
  const found = here(), units = distinct(found.map(one => one.channel));
  if (!units.includes(unit)) unit = units[0];
  at("units").replaceChildren();
  for (const each of units) {
    const last = found.filter(one => one.channel === each).at(-1);
    const button = added(at("units"), "button", {type: "button"});
    button.setAttribute("aria-pressed", each === unit);
    added(button, "img", {src: last.path, alt: ""});
    button.append(`unit ${each}`);
    button.onclick = () => { unit = each; show(); };
  }
  at("runs").replaceChildren();
  for (const one of found.filter(one => one.channel === unit)) {
    const figure = added(at("runs"), "figure", {});
    const link = added(figure, "a", {href: one.path});
    added(link, "img", {src: one.path, alt: `after ${one.epoch} runs`});
    added(figure, "figcaption", {textContent: `after ${one.epoch} runs`});
  }
};
for (const axis of axes) {
  const label = added(at("sliders"), "label", {textContent: axis.text, htmlFor: axis.key});
  const slider = added(at("sliders"), "input",
    {type: "range", id: axis.key, min: 0, max: axis.values.length - 1, step: 1, value: 0});
  const told = added(at("sliders"), "output", {});
  const move = () => {
    axis.index = Number(slider.value);
    told.textContent = [axis.values[axis.index]].flat().join(", ");
  };
  slider.addEventListener("input", () => { move(); show(); });
  move();
}
show();
"""


def study_page(meta: Mapping[str, Any]) -> bytes:
    """One file that shows a study to anyone: it lies beside the pictures.

    Args:
        meta: What `meta.json` says.
    """
    shown = {key: meta[key] for key in ("parameters", "visualizations")}
    text = json.dumps(shown, allow_nan=False).replace("<", "\\u003c")
    layers = list(dict.fromkeys(each["module_name"] for each in shown["visualizations"]))
    where = layers[0] if len(layers) == 1 else f"{len(layers)} layers"
    body = (
        f'<p class="dim">{_told(meta, where)}</p>'
        '<noscript><p>Without JavaScript: <a href="sheet.png">all last pictures</a>, '
        '<a href="meta.json">which is which</a>.</p></noscript>'
        '<div id="sliders"></div><h2>Units</h2><div id="units"></div>'
        '<h2>On the way</h2><div id="runs"></div>'
        f'<script type="application/json" id="study">{text}</script>\n'
        f"<script>{_SCRIPT}</script>"
    )
    heading = f"study of {meta['network']}"
    return page(heading, body, title=f"{heading}, {where}", root=None, style=STYLE + _STYLE)


def _told(meta: Mapping[str, Any], where: str) -> str:
    tried = [f"{key} {', '.join(map(str, values))}" for key, values in meta["parameters"].items()]
    return escape(" · ".join([where, *tried, f"seed {meta['seed']}"]))
