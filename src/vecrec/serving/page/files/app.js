// Puts the page together: asks again after each change, and shows what came, or why nothing came.

import { ask } from "./api.js";
import { useValues } from "./art.js";
import { followItem, openPerson, useSchema } from "./dialogs.js";
import { make } from "./make.js";
import { card, chip, markThumbs, row, skeletons, tagsOf, use } from "./parts.js";
import { clearFilters, filterBy, isStranger, keyOf, onChange, question, restore, state, useFacets, useTitle } from "./state.js";

const $ = (id) => document.getElementById(id);
const PAGE = 24;
let schema = null;
let asked = 0;
let shown = [];
let following = null;

async function begin() {
  $("cards").replaceChildren(...skeletons(8));
  try {
    schema = await ask("GET", "v1/schema");
  } catch (problem) {
    fail(problem, begin);
    return;
  }
  $("alert").hidden = true;
  document.title = `${schema.name}: recommendations`;
  $("name").textContent = schema.name;
  $("search").placeholder = `Search ${schema.nouns}`;
  useTitle(schema.title_field);
  useFacets(schema.facets);
  useValues(schema.facets);
  useSchema(schema, fail);
  const tags = Object.entries(schema.facets).filter(([, facet]) => facet.values.length).map(([name]) => name);
  use({ title: schema.title_field, image: schema.image_field, price: schema.price_field, tags }, fail);
  await restore(schema.name);
  showAll();
  followItem();
  await recommend();
}

/** What needs no answer of the service. */
function showAll() {
  showFilters();
  showPerson();
  showSaid();
}

function showPerson() {
  const { person } = state;
  const names = {
    visitor: () => "Just me",
    stored: () => `${person.id} (${person.history.length} events)`,
    profile: () => person.words.join(", "),
  };
  $("person-name").textContent = names[person.kind]();
}

function showSaid() {
  const { person, said } = state;
  const focused = document.activeElement?.closest?.("#said .chip");
  const place = focused ? [...$("said").querySelectorAll(".chip")].indexOf(focused) : -1;
  $("said").replaceChildren(...[...said.values()].reverse().map(chip));
  $("said-nothing").hidden = said.size > 0;
  $("said-nothing").textContent = `Like or dislike a few ${schema.nouns}, and the list follows at once.`;
  $("fold-count").textContent = said.size ? ` (${said.size})` : "";
  if (place >= 0) ($("said").querySelectorAll(".chip")[Math.max(0, Math.min(place, said.size - 1))] ?? $("search")).focus();
  const past = person.kind === "stored" ? [...person.history].reverse().slice(0, 12) : [];
  $("history").hidden = !past.length;
  $("history-rows").replaceChildren(...past.map((event) => pastRow(event, person)));
}

function pastRow(event, person) {
  const line = row(person.records.get(keyOf(event.item_id)) ?? {}, event.item_id);
  const word = event.kind ?? (event.rating === null ? "" : `rated ${event.rating}`);
  const day = event.time === null ? "" : new Date(1000 * event.time).toLocaleDateString(undefined, { year: "numeric", month: "short" });
  line.querySelector(".facts").textContent = [word, day].filter(Boolean).join(", ");
  return line;
}

async function recommend() {
  const mine = ++asked;
  $("cards").setAttribute("aria-busy", "true");
  try {
    const stranger = isStranger();
    const list = await ask("POST", "v1/recommendations", question(stranger ? 3 * PAGE : PAGE));
    if (mine !== asked) return; // a later question has been put meanwhile
    $("alert").hidden = true;
    if (stranger) list.items = varied(list.items).slice(0, PAGE);
    showList(list, stranger);
  } catch (problem) {
    if (mine === asked) fail(problem, recommend);
  } finally {
    if (mine === asked) $("cards").removeAttribute("aria-busy");
  }
}

/** Popular ones of every kind in turn, so that the first page has something for each taste. */
function varied(items) {
  const groups = new Map();
  for (const item of items) {
    const tags = tagsOf(item.metadata);
    const kind = tags.find((tag) => !groups.has(tag)) ?? tags[0] ?? "";
    groups.set(kind, [...(groups.get(kind) ?? []), item]);
  }
  const turns = [...groups.values()];
  const longest = Math.max(0, ...turns.map((group) => group.length));
  return Array.from({ length: longest }, (_, n) => turns.map((group) => group[n])).flat().filter(Boolean);
}

function showList(list, stranger) {
  const focus = focusedIn($("cards"));
  const before = shown;
  const news = state.last ? movesOf(before, list.items) : new Map();
  shown = list.items.map((item) => keyOf(item.item_id));
  $("cards").replaceChildren(...list.items.map((item) => card(item, news.get(keyOf(item.item_id)))));
  const popular = list.served_by === "popularity";
  $("list-title").textContent = stranger ? "Something of everything" : popular ? "Popular" : "Recommended";
  $("status").textContent = toldBy(list, news, stranger, popular);
  const down = list.notes.find((note) => note.includes("does not answer"));
  $("notice").hidden = !(down || list.shortfall);
  $("notice").textContent = down ? "The search is down at the moment, so these are popular ones." : list.shortfall ?? "";
  $("release").textContent = `release ${list.release}`;
  $("further").hidden = list.items.length < PAGE;
  if (focus) refocus(focus);
}

/** What the last thing that was said has changed, in one line. */
function toldBy(list, news, stranger, popular) {
  const { last } = state;
  const count = (kind) => [...news.values()].filter((each) => each.kind === kind).length;
  if (last && shown.length) {
    const cause = last.taken ? `Without ${last.title}` : `${last.liked ? "You like" : "You do not like"} ${last.title}`;
    const moves = [[count("new"), "new"], [count("higher"), "higher"]].filter(([n]) => n).map(([n, word]) => `${n} ${word}`);
    return `${cause}: ${moves.length ? moves.join(", ") : "the list stays"}`;
  }
  if (stranger) return `popular ${schema.nouns} of every kind`;
  const bases = list.based_on.map((base) => ({ features: "profile", history: "taste" })[base] ?? base);
  return popular ? `${list.items.length} that many like` : `${list.items.length} by ${new Intl.ListFormat("en").format(bases)}`;
}

function movesOf(before, items) {
  const moves = new Map();
  if (!before.length) return moves;
  items.forEach((item, place) => {
    const was = before.indexOf(keyOf(item.item_id));
    if (was < 0) moves.set(keyOf(item.item_id), { kind: "new", text: "new" });
    else if (was - place > 2) moves.set(keyOf(item.item_id), { kind: "higher", text: `↑ ${was - place}` });
  });
  return moves;
}

async function more() {
  const mine = asked;
  const seen = shown.map((key) => JSON.parse(key));
  $("further").disabled = true;
  try {
    const list = await ask("POST", "v1/recommendations", question(PAGE, seen));
    if (mine !== asked) return;
    const first = $("cards").children.length;
    $("cards").append(...list.items.map((item) => card(item)));
    shown.push(...list.items.map((item) => keyOf(item.item_id)));
    $("further").hidden = list.items.length < PAGE;
    $("status").textContent = `${shown.length} ${schema.nouns}`;
    focusCard(Math.min(first, shown.length - 1));
  } catch (problem) {
    fail(problem, more);
  } finally {
    $("further").disabled = false;
  }
}

async function browse(afresh) {
  if (afresh) following = null;
  const words = $("search").value.trim();
  $("results").hidden = !words;
  if (!words) return;
  try {
    const place = following ? `&cursor=${following}` : "";
    const { items, cursor } = await ask("GET", `v1/items?limit=12${place}&search=${encodeURIComponent(words)}`);
    if (words !== $("search").value.trim()) return;
    const rows = items.map((item) => row(item.features, item.id));
    if (afresh) $("browse").replaceChildren(...(rows.length ? rows : [make("li", { class: "hint" }, "No title is like this.")]));
    else $("browse").append(...rows);
    following = cursor;
    $("more").hidden = !cursor;
  } catch (problem) {
    fail(problem, () => browse(true));
  }
}

// -- filters: one stop of the Tab key for each; arrows move within

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
    const labels = schema.labels[field] ?? {};
    const stop = chosen?.values?.[0] ?? [...facet.values].sort()[0];
    const options = [...facet.values].sort().map((value) =>
      make("button", { type: "button", class: "choice", "aria-pressed": String(chosen?.values?.includes(value) ?? false),
        tabindex: value === stop ? "0" : "-1", onclick: () => toggle(field, value, list) }, labels[String(value)] ?? String(value)));
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
  const place = [...document.querySelectorAll(".choice")].indexOf(document.activeElement);
  filterBy(field, values.length ? { values, list } : null);
  document.querySelectorAll(".choice")[place]?.focus();
}

function between(field) {
  const read = (which) => ($(`${field}-${which}`).value === "" ? null : Number($(`${field}-${which}`).value));
  const [low, high] = [read("low"), read("high")];
  const focused = document.activeElement?.id;
  filterBy(field, low === null && high === null ? null : { low, high });
  if (focused) $(focused)?.focus();
}

function clear() {
  clearFilters();
  document.querySelector(".choice[tabindex='0'], .between input")?.focus();
}

function fail(problem, again) {
  const title = problem.status === 503 ? "Not available at the moment" : problem.title ?? "Something went wrong";
  const retry = async () => {
    $("alert").hidden = true;
    $("list").focus();
    await again();
  };
  $("alert").replaceChildren(make("b", {}, title), make("span", {}, problem.message),
    problem.request ? make("small", {}, "request ", make("code", {}, problem.request)) : "",
    make("button", { type: "button", onclick: retry }, "Try again"));
  $("alert").hidden = false;
  if (!shown.length) $("cards").replaceChildren();
}

// -- focus and keys

function focusedIn(box) {
  const element = document.activeElement?.closest?.(".card");
  if (!element || !box.contains(element)) return null;
  const kind = ["up", "down"].find((each) => document.activeElement.classList.contains(each)) ?? "title";
  return { key: element.dataset.key, place: [...box.children].indexOf(element), kind };
}

function refocus({ key, place, kind }) {
  const cards = [...$("cards").children];
  const same = cards.find((each) => each.dataset.key === key);
  const target = same ?? cards[Math.min(place, cards.length - 1)];
  (target?.querySelector(same ? `.${kind}` : ".title") ?? $("list")).focus({ preventScroll: true });
}

function focusCard(place) {
  $("cards").children[place]?.querySelector(".title")?.focus();
}

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !typing && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("fold").open = true;
    $("search").focus();
  }
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const here = document.activeElement?.closest?.(".card");
  const choice = document.activeElement?.closest?.(".choice");
  if (here && step) {
    event.preventDefault();
    focusCard(Math.max(0, [...$("cards").children].indexOf(here) + step));
  } else if (choice && step) {
    const next = step > 0 ? choice.nextElementSibling : choice.previousElementSibling;
    if (next?.classList.contains("choice")) next.focus();
  }
});

let pause = 0;
$("search").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(() => browse(true), 150);
});
$("more").addEventListener("click", () => browse(false));
$("further").addEventListener("click", more);
$("person").addEventListener("click", () => schema && openPerson());
if (matchMedia("(max-width: 46rem)").matches) $("fold").open = false;

onChange((what) => {
  markThumbs();
  if (what === "item") return followItem();
  if (what === "pressed") return showSaid();
  showAll();
  followItem();
  if (what === "person" || what === "address") shown = [];
  return void recommend();
});

begin();
