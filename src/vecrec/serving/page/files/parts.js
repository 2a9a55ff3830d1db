// The pieces that the page is made of. Texts are set as texts, never as HTML.

import { hand, poster } from "./art.js";
import { make } from "./make.js";
import { keyOf, say, show, state, titleOf } from "./state.js";

let fields = { title: "title", image: "", price: "price", tags: [] };
let fail = () => {};

/** Which fields show as title, picture, price and tags, and what to do with a problem. */
export function use(named, onProblem) {
  fields = named;
  fail = onProblem;
}

/** The record's lists of words, such as genres, and the words that items are filtered by. */
export function tagsOf(record) {
  const tags = Object.entries(record).flatMap(([name, value]) => {
    if (name === fields.title || name === fields.image) return [];
    if (Array.isArray(value)) return value.filter((each) => typeof each === "string");
    return typeof value === "string" && fields.tags.includes(name) ? [value] : [];
  });
  return tags.slice(0, 4);
}

/** Price or year, and tags, in one line. */
export function factsOf(record) {
  const price = record[fields.price];
  const currency = typeof record.currency === "string" && /^[A-Z]{3}$/.test(record.currency) ? record.currency : null;
  const amount = typeof price === "number"
    ? new Intl.NumberFormat(undefined, currency ? { style: "currency", currency } : { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(price)
    : null;
  const year = typeof record.year === "number" ? String(record.year) : null;
  return [amount, year, tagsOf(record).join(", ")].filter(Boolean).join(" · ");
}

export function posterOf(record, id) {
  return poster(titleOf(record, id), tagsOf(record), record[fields.image]);
}

/** Two buttons that say what the user thinks of an item. */
export function thumbs(id, title) {
  const said = state.said.get(keyOf(id));
  const button = (liked, word) =>
    make("button", {
      type: "button", class: `thumb ${liked ? "up" : "down"}`, "aria-pressed": String(said?.liked === liked),
      "aria-label": `${word} ${title}`, title: word, onclick: () => press(id, title, liked),
    }, hand(liked));
  return make("span", { class: "thumbs", "data-thumbs": keyOf(id) }, button(true, "Like"), button(false, "Dislike"));
}

export function press(id, title, liked) {
  say(id, title, liked)?.catch?.((problem) => fail(problem, () => press(id, title, liked)));
}

/** Let all buttons show at once what was said, without making them again, so that the focus stays. */
export function markThumbs() {
  for (const box of document.querySelectorAll("[data-thumbs]")) {
    const said = state.said.get(box.dataset.thumbs);
    box.querySelector(".up").setAttribute("aria-pressed", String(said?.liked === true));
    box.querySelector(".down").setAttribute("aria-pressed", String(said?.liked === false));
  }
}

/** A card of the list. */
export function card(item, moved) {
  const title = titleOf(item.metadata, item.item_id);
  const element = make("li", { class: "card", "data-key": keyOf(item.item_id) },
    posterOf(item.metadata, item.item_id),
    moved ? make("span", { class: `moved ${moved.kind}` }, moved.text) : null,
    make("div", { class: "text" },
      make("button", { type: "button", class: "title", title, onclick: () => show(item.item_id) }, title),
      make("p", { class: "facts" }, factsOf(item.metadata)),
      item.because ? make("p", { class: "because" }, item.because.sentence) : null),
    make("div", { class: "foot" }, thumbs(item.item_id, title)));
  element.addEventListener("keydown", (event) => {
    const liked = { l: true, d: false }[event.key.toLowerCase()];
    if (liked !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) press(item.item_id, title, liked);
  });
  return element;
}

/** Cards without anything in them, while the first list is on its way. */
export function skeletons(count) {
  return Array.from({ length: count }, () => make("li", { class: "card skeleton", "aria-hidden": "true" },
    make("div", { class: "poster" }), make("div", { class: "text" }, make("p", {}, " "), make("p", {}, " "))));
}

/** A line of a list: title, facts and thumbs. */
export function row(record, id) {
  const title = titleOf(record, id);
  return make("li", { "data-key": keyOf(id) },
    make("button", { type: "button", class: "title", title, onclick: () => show(id) }, title),
    make("span", { class: "facts" }, typeof record.year === "number" ? String(record.year) : ""),
    thumbs(id, title));
}

/** What was said about an item, to be taken back by a click. */
export function chip({ id, title, liked }) {
  return make("li", {},
    make("button", { type: "button", class: `chip ${liked ? "up" : "down"}`, "aria-label": `Take back: ${title}`,
      title: "Take back", onclick: () => press(id, title, liked) },
    make("span", {}, hand(liked), title), make("span", { "aria-hidden": "true" }, " ×")));
}
