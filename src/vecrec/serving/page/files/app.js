// Puts the page together: asks again after each change, and shows what came, or why nothing came.

import { ask } from "./api.js";
import { openItem, openPerson } from "./dialogs.js";
import { card, chip, make, row, useTitle } from "./parts.js";
import { filterBy, onChange, question, restore, state } from "./state.js";

const $ = (id) => document.getElementById(id);
const PAGE = 12;
let schema = null;
let asked = 0;
let browsed = 0;

async function begin() {
  try {
    schema = await ask("GET", "v1/schema");
  } catch (problem) {
    fail(problem, begin);
    return;
  }
  $("alert").hidden = true;
  document.title = `${schema.name}: recommendations`;
  $("name").textContent = schema.name;
  useTitle(schema.title_field);
  restore(schema.name);
  showFilters();
  show();
  await Promise.all([recommend(), browse(true)]);
}

/** What needs no answer of the service. */
function show() {
  const { person, said } = state;
  const names = {
    visitor: () => "Just me",
    stored: () => `${person.id} (${person.events} events)`,
    profile: () => person.words.join(", "),
  };
  $("person-name").textContent = names[person.kind]();
  $("said").replaceChildren(...[...said.values()].reverse().map(chip));
  $("said-nothing").hidden = said.size > 0;
}

async function recommend() {
  const mine = ++asked;
  $("cards").setAttribute("aria-busy", "true");
  try {
    const list = await ask("POST", "v1/recommendations", question(24));
    if (mine === asked) showList(list); // a later question has been put meanwhile
  } catch (problem) {
    if (mine === asked) fail(problem, recommend);
  } finally {
    if (mine === asked) $("cards").removeAttribute("aria-busy");
  }
}

function showList(list) {
  const focused = document.activeElement?.closest?.(".card")?.dataset.key;
  const place = focused ? [...$("cards").children].findIndex((each) => each.dataset.key === focused) : -1;
  $("alert").hidden = true;
  $("cards").replaceChildren(...list.items.map((item) => card(item, openItem)));
  const bases = list.based_on.map((base) => ({ features: "profile", history: "taste" })[base] ?? base);
  const popular = list.served_by === "popularity";
  $("list-title").textContent = popular ? "Popular" : "Recommended";
  $("status").textContent = `${list.items.length} ${popular ? "that many like" : `by ${bases.join(" and ")}`}`;
  const down = list.notes.find((note) => note.includes("does not answer"));
  $("notice").hidden = !(down || list.shortfall);
  $("notice").textContent = down ? "The search is down at the moment, so these are popular ones." : list.shortfall ?? "";
  $("release").textContent = `release ${list.release}`;
  if (place >= 0) focusCard(Math.min(place, list.items.length - 1));
}

async function browse(anew) {
  if (anew) browsed = 0;
  const words = $("search").value.trim();
  try {
    const { items } = await ask("GET", `v1/items?limit=${PAGE}&offset=${browsed}&search=${encodeURIComponent(words)}`);
    if (words !== $("search").value.trim()) return;
    const rows = items.map((item) => row(item, openItem));
    if (anew) $("browse").replaceChildren(...(rows.length ? rows : [make("li", { class: "hint" }, "Nothing has this title.")]));
    else $("browse").append(...rows);
    browsed += items.length;
    $("more").hidden = items.length < PAGE;
  } catch (problem) {
    fail(problem, () => browse(true));
  }
}

function showFilters() {
  const parts = Object.entries(schema.facets).map(([field, facet]) => filterOf(field, facet)).filter(Boolean);
  $("filters").replaceChildren(...parts, make("button", { type: "button", class: "quiet", id: "clear", onclick: clear }, "Clear"));
  $("clear").hidden = !Object.keys(state.filters).length;
}

function filterOf(field, facet) {
  const label = field.replaceAll("_", " ");
  const chosen = state.filters[field];
  if (facet.values.length) {
    const list = facet.type.endsWith("s");
    const options = [...facet.values].sort().map((value) =>
      make("button", { type: "button", class: "choice", "aria-pressed": String(chosen?.values?.includes(value) ?? false),
        onclick: () => toggle(field, value, list) }, String(value)));
    return make("fieldset", { class: "choices" }, make("legend", {}, label), ...options);
  }
  if (facet.low === null || facet.low === facet.high) return null;
  const bound = (which, word) => make("label", {}, make("span", { class: "sr" }, `${label} ${word} `),
    make("input", { type: "number", id: `${field}-${which}`, placeholder: String(facet[which]), value: chosen?.[which] ?? null,
      step: facet.type === "integer" ? "1" : "any", onchange: () => between(field) }));
  return make("fieldset", { class: "between" }, make("legend", {}, label), bound("low", "from"), "–", bound("high", "to"));
}

function toggle(field, value, list) {
  const before = state.filters[field]?.values ?? [];
  const values = before.includes(value) ? before.filter((each) => each !== value) : [...before, value];
  filterBy(field, values.length ? { values, list } : null);
  showFilters();
  [...document.querySelectorAll(".choice")].find((each) => each.textContent === String(value))?.focus();
}

function between(field) {
  const read = (which) => ($(`${field}-${which}`).value === "" ? null : Number($(`${field}-${which}`).value));
  const [low, high] = [read("low"), read("high")];
  filterBy(field, low === null && high === null ? null : { low, high });
  $("clear").hidden = !Object.keys(state.filters).length;
}

function clear() {
  for (const field of Object.keys(state.filters)) filterBy(field, null);
  showFilters();
}

function fail(problem, again) {
  const title = problem.status === 503 ? "Not available at the moment" : problem.title ?? "Something went wrong";
  $("alert").replaceChildren(make("b", {}, title), make("span", {}, problem.message),
    make("button", { type: "button", onclick: again }, "Try again"));
  $("alert").hidden = false;
}

function focusCard(place) {
  $("cards").children[place]?.querySelector(".title")?.focus();
}

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !typing && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("search").focus();
  }
  const here = document.activeElement?.closest?.(".card");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (here && step) {
    event.preventDefault();
    focusCard(Math.max(0, [...$("cards").children].indexOf(here) + step));
  }
});

let pause = 0;
$("search").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(() => browse(true), 150);
});
$("more").addEventListener("click", () => browse(false));
$("person").addEventListener("click", () => schema && openPerson(schema));
onChange(() => {
  show();
  markRows();
  void recommend();
});

/** Let the rows show what was said, without making them anew, so that the focus stays. */
function markRows() {
  for (const line of document.querySelectorAll("#browse [data-key]")) {
    const said = state.said.get(line.dataset.key);
    line.querySelector(".up").setAttribute("aria-pressed", String(said?.liked === true));
    line.querySelector(".down").setAttribute("aria-pressed", String(said?.liked === false));
  }
}

begin();
