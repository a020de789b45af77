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
