"""The page's frame, style and script; html.py fills in the rest."""

from __future__ import annotations

from string import Template

PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<input id="search" type="search" placeholder="Find a state" aria-label="Find a state by name" list="names">
<datalist id="names"></datalist>
<output id="found"></output>
<button id="fold" aria-pressed="false">Fold branches</button>
<button id="in" aria-label="Zoom in">+</button>
<button id="out" aria-label="Zoom out">&minus;</button>
<button id="fit">Fit</button>
</header>
<main>
<div id="pictures">
$open
$folded
</div>
<aside hidden aria-live="polite">
<button id="close" aria-label="Close">&times;</button>
<h2 id="name"></h2>
<pre id="json" tabindex="0"></pre>
</aside>
</main>
<script type="application/json" id="definition">$data</script>
<script>$script</script>
</body>
</html>
"""
)

STYLE = """
*{box-sizing:border-box}
html,body{height:100%;margin:0}
body{display:flex;flex-direction:column;color-scheme:light dark;color:#16191f;background:#fff;
font:14px "Helvetica Neue",Helvetica,Arial,"Liberation Sans",system-ui,sans-serif}
header{display:flex;flex-wrap:wrap;gap:8px;align-items:center;padding:8px 16px;border-bottom:1px solid #8793a166}
h1{font-size:16px;margin:0;flex:1;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
h2{font-size:14px;margin:0 28px 8px 0;overflow-wrap:anywhere}
button,input{font:inherit;padding:4px 10px}
main{flex:1;display:flex;min-height:0}
#pictures{flex:1;min-width:0}
#pictures svg{width:100%;height:100%;display:block;cursor:grab;touch-action:none}
#pictures svg.away{display:none}
.state{cursor:pointer}
.state:focus{outline:none}
.state:focus-visible>rect:first-of-type,
.state.chosen>rect:first-of-type{stroke:#1a73e8;stroke-width:3;stroke-dasharray:none}
aside{width:min(420px,45%);position:relative;padding:12px 16px;border-left:1px solid #8793a166;overflow:auto}
#close{position:absolute;right:8px;top:8px}
pre{margin:0;font:12px ui-monospace,Menlo,Consolas,"Liberation Mono",monospace;
white-space:pre-wrap;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){body{color:#e6e9ed;background:#101822}}
"""

SCRIPT = r"""
"use strict";
const byId = (id) => document.getElementById(id);
const definition = JSON.parse(byId("definition").textContent);
const pictures = { open: byId("open"), folded: byId("folded") };
let picture = pictures.open;

// All states, also those that the picture leaves out: JSON pointer -> name and JSON.
const states = new Map();
const walk = (machine, pointer) => {
  for (const [name, state] of Object.entries(machine.States)) {
    const here = pointer + "/States/" + name.replaceAll("~", "~0").replaceAll("/", "~1");
    states.set(here, { name, state });
    (state.Branches || []).forEach((branch, number) => walk(branch, here + "/Branches/" + number));
    for (const key of ["ItemProcessor", "Iterator"]) if (state[key]) walk(state[key], here + "/" + key);
  }
};
walk(definition, "");
for (const { name } of states.values()) byId("names").append(new Option(name));

// Pan and zoom move the view box; the picture itself never changes.
const size = (svg) => ({ x: 0, y: 0, w: svg.width.baseVal.value, h: svg.height.baseVal.value });
let view;
const look = (next) => {
  view = next;
  picture.setAttribute("viewBox", [view.x, view.y, view.w, view.h].join(" "));
};
const scale = () => Math.max(view.w / picture.clientWidth, view.h / picture.clientHeight);
const zoom = (factor, x = view.x + view.w / 2, y = view.y + view.h / 2) => {
  const w = view.w * factor;
  if (w > 100 && w < 40000) look({ x: x - (x - view.x) * factor, y: y - (y - view.y) * factor, w, h: view.h * factor });
};
const point = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());

const pointerOf = (element) => JSON.parse('"' + element.dataset.state + '"');
const elements = (pointer) => [...picture.querySelectorAll("[data-state]")].filter((e) => pointerOf(e) === pointer);
// A state that the picture leaves out is shown by the nearest state around it.
const nearest = (pointer) => {
  while (pointer && !elements(pointer).length) pointer = pointer.slice(0, pointer.lastIndexOf("/"));
  return pointer ? elements(pointer)[0] : null;
};
const choose = (pointer) => {
  document.querySelectorAll(".chosen").forEach((element) => element.classList.remove("chosen"));
  const { name, state } = states.get(pointer);
  byId("name").textContent = name;
  byId("json").textContent = JSON.stringify(state, null, 2);
  document.querySelector("aside").hidden = false;
  const element = nearest(pointer);
  if (element) element.classList.add("chosen");
  return element;
};

let dragged = false;
for (const svg of Object.values(pictures)) {
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = point(event);
    zoom(Math.exp(Math.sign(event.deltaY) * 0.12), x, y);
  }, { passive: false });
  svg.addEventListener("pointerdown", () => { dragged = false; });
  svg.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    if (Math.abs(event.movementX) + Math.abs(event.movementY) > 2) dragged = true;
    const unit = scale();
    if (dragged) look({ ...view, x: view.x - event.movementX * unit, y: view.y - event.movementY * unit });
  });
  const open = (event) => {
    const element = event.target.closest("[data-state]");
    if (element && !dragged) choose(pointerOf(element).replace(/\/Branches#more\d+$/, ""));
  };
  svg.addEventListener("click", open);
  svg.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    dragged = false;
    open(event);
  });
}

byId("search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  const found = [...states].filter(([, { name }]) => wanted && name.toLowerCase().includes(wanted));
  const [best] = found.find(([, { name }]) => name.toLowerCase() === wanted) || found[0] || [];
  byId("found").textContent = wanted ? found.length + " found" : "";
  if (!best) return;
  const element = choose(best);
  if (!element) return;
  const box = element.getBBox();
  const shift = element.parentNode.transform.baseVal.consolidate().matrix;
  const w = Math.max(900, box.width * 1.2), h = (w * picture.clientHeight) / picture.clientWidth;
  look({ x: box.x + shift.e + box.width / 2 - w / 2, y: box.y + shift.f + Math.min(box.height, h) / 2 - h / 2, w, h });
});
byId("fold").addEventListener("click", () => {
  const folded = picture === pictures.open;
  picture.classList.add("away");
  picture = folded ? pictures.folded : pictures.open;
  picture.classList.remove("away");
  byId("fold").setAttribute("aria-pressed", String(folded));
  byId("fold").textContent = folded ? "Unfold branches" : "Fold branches";
  look(size(picture));
});
byId("in").addEventListener("click", () => zoom(0.8));
byId("out").addEventListener("click", () => zoom(1.25));
byId("fit").addEventListener("click", () => look(size(picture)));
byId("close").addEventListener("click", () => { document.querySelector("aside").hidden = true; });
pictures.folded.classList.add("away");
look(size(picture));
"""
