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
<body data-first="$first">
<header>
<h1>$title</h1>
<input id="search" type="search" placeholder="Find a state" aria-label="Find a state by name" list="names">
<datalist id="names"></datalist>
<output id="found"></output>
<button id="switch"></button>
<button id="out" aria-label="Zoom out">&minus;</button>
<button id="in" aria-label="Zoom in">+</button>
<button id="fit">Fit</button>
</header>
<main>
<div id="pictures">
$story
$full
</div>
<aside hidden aria-live="polite">
<button id="close" aria-label="Close">&times;</button>
<h2 id="name"></h2>
<table id="models"></table>
<dl id="fields"></dl>
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
body{margin:0;color:#16191f;background:#fff;
font:14px "Helvetica Neue",Helvetica,Arial,"Liberation Sans",system-ui,sans-serif}
h1{font-size:16px;margin:0;flex:1 0 auto}
h2{font-size:14px;margin:0 28px 8px 0;overflow-wrap:anywhere}
svg{display:block;margin:auto}
svg.away{display:none}
table{border-collapse:collapse;margin:0 0 12px}
th,td{text-align:left;padding:3px 16px 3px 0;border-bottom:1px solid #8793a166}
dt{font-weight:600;margin-top:10px}
dd{margin:2px 0 0;font:12px ui-monospace,Menlo,Consolas,"Liberation Mono",monospace;
white-space:pre-wrap;overflow-wrap:anywhere}
@media print{header,aside{display:none}svg{max-width:100%;max-height:96vh}}
@media screen{
html,body{height:100%;color-scheme:light dark}
body{display:flex;flex-direction:column}
header{display:flex;flex-wrap:wrap;gap:8px;align-items:center;padding:8px 16px;border-bottom:1px solid #8793a166}
button,input{font:inherit;padding:4px 10px}
main{flex:1;display:flex;min-height:0}
#pictures{flex:1;min-width:0;overflow:auto;cursor:grab}
.state{cursor:pointer}
.state:focus{outline:none}
.state:is(:focus-visible,.chosen)>:is(.box,.frame:not(.card)){stroke:#1a73e8;stroke-width:3}
aside{width:min(420px,50%);position:relative;padding:12px 16px;border-left:1px solid #8793a166;overflow:auto}
#close{position:absolute;right:8px;top:8px}
}
@media screen and (prefers-color-scheme:dark){body{color:#e6e9ed;background:#101822}}
@media screen and (max-width:700px){main{flex-direction:column}
aside{width:auto;max-height:50%;border-left:none;border-top:1px solid #8793a166}}
"""

SCRIPT = r"""
"use strict";
const byId = (id) => document.getElementById(id);
const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
const definition = JSON.parse(byId("definition").textContent);
const pictures = { story: byId("story"), full: byId("full") };
let picture;

// All states, also those that a picture leaves out: JSON pointer -> name and JSON. And all lists of things with a name.
const states = new Map();
const lists = [];
const walk = (machine, pointer) => {
  for (const [name, state] of Object.entries(machine.States)) {
    const here = pointer + "/States/" + name.replaceAll("~", "~0").replaceAll("/", "~1");
    states.set(here, { name, state });
    for (const list of Object.values(state.Assign || {})) if (Array.isArray(list) && list[0]?.name) lists.push(list);
    (state.Branches || []).forEach((branch, number) => walk(branch, here + "/Branches/" + number));
    for (const key of ["ItemProcessor", "Iterator"]) if (state[key]) walk(state[key], here + "/" + key);
  }
};
walk(definition, "");
for (const name of new Set([...states.values()].map(({ name }) => name))) byId("names").append(new Option(name));

// A picture scrolls; zooming changes its size.
const size = (svg, scale) => {
  svg.setAttribute("width", svg.viewBox.baseVal.width * scale);
  svg.setAttribute("height", svg.viewBox.baseVal.height * scale);
};
const scale = () => picture.width.baseVal.value / picture.viewBox.baseVal.width;
const show = (detail) => {
  picture = pictures[detail];
  for (const svg of Object.values(pictures)) svg.classList.toggle("away", svg !== picture);
  byId("pictures").scrollLeft = (byId("pictures").scrollWidth - byId("pictures").clientWidth) / 2;
  byId("switch").textContent = detail === "story" ? "Show every state" : "Show the story";
};
const pointerOf = (element) => JSON.parse('"' + element.dataset.state + '"');
// A state that the picture leaves out is shown by the nearest state around it.
const nearest = (pointer) => {
  const drawn = [...picture.querySelectorAll("[data-state]")];
  for (; pointer; pointer = pointer.slice(0, pointer.lastIndexOf("/"))) {
    const found = drawn.find((element) => pointerOf(element) === pointer);
    if (found) return found;
  }
  return null;
};
const row = (tag, cells) => {
  const line = make("tr", "");
  line.append(...cells.map((cell) => make(tag, cell ?? "")));
  return line;
};
// What a stack is for: the entries of the list that has all its names, but what is nested or only says the name again.
const tabulate = (items) => {
  const list = lists.find((list) => items.every((name) => list.some((one) => one.name === name))) || [];
  const rows = list.filter((one) => items.includes(one.name));
  const keys = [...new Set(rows.flatMap((one) => Object.keys(one)))].filter((key) => key === "name" ||
    rows.some((one) => key in one && typeof one[key] !== "object" && one[key] !== one.name));
  byId("models").replaceChildren(...(rows.length ? [row("th", keys)] : []),
    ...rows.map((one) => row("td", keys.map((key) => one[key]))));
};
const choose = (pointer, element) => {
  document.querySelectorAll(".chosen").forEach((element) => element.classList.remove("chosen"));
  const { name, state } = states.get(pointer);
  byId("name").textContent = name;
  tabulate(JSON.parse(element?.dataset.items || "[]"));
  byId("fields").replaceChildren();
  for (const [key, value] of Object.entries(state)) {
    if (["Branches", "ItemProcessor", "Iterator"].includes(key)) continue;
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    byId("fields").append(make("dt", key), make("dd", text));
  }
  document.querySelector("aside").hidden = false;
  element?.classList.add("chosen");
};

let dragged = false;
byId("pictures").addEventListener("pointerdown", () => { dragged = false; });
byId("pictures").addEventListener("pointermove", (event) => {
  if (event.buttons !== 1 || event.pointerType === "touch") return;
  if (Math.abs(event.movementX) + Math.abs(event.movementY) > 2) dragged = true;
  if (dragged) byId("pictures").scrollBy(-event.movementX, -event.movementY);
});
const open = (event) => {
  const element = event.target.closest("[data-state]");
  if (element && !dragged) choose(pointerOf(element).replace(/#.*/, ""), element);
};
byId("pictures").addEventListener("click", open);
byId("pictures").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " " || !event.target.closest("[data-state]")) return;
  event.preventDefault();
  dragged = false;
  open(event);
});
byId("search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  const found = [...states].filter(([, { name }]) => wanted && name.toLowerCase().includes(wanted));
  const [best] = found.find(([, { name }]) => name.toLowerCase() === wanted) || found[0] || [];
  byId("found").textContent = wanted ? found.length + " found" : "";
  if (!best) return;
  choose(best, nearest(best));
  nearest(best)?.scrollIntoView({ block: "center", inline: "center" });
});
byId("switch").addEventListener("click", () => show(picture === pictures.story ? "full" : "story"));
byId("in").addEventListener("click", () => size(picture, scale() * 1.25));
byId("out").addEventListener("click", () => size(picture, scale() * 0.8));
byId("fit").addEventListener("click", () => {
  const { width, height } = picture.viewBox.baseVal, room = byId("pictures");
  size(picture, Math.min(room.clientWidth / width, room.clientHeight / height));
});
byId("close").addEventListener("click", () => { document.querySelector("aside").hidden = true; });
show(document.body.dataset.first);
"""
