// The pieces that the page is made of. Texts are set as texts, never as HTML.

import { keyOf, say, state, takeBack } from "./state.js";

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

let titleField = "title";

export function useTitle(field) {
  titleField = field;
}

export function titleOf(record, id) {
  return String(record[titleField] ?? `Item ${id}`);
}

/** The record's lists of words, such as genres, in one line. */
export function tagsOf(record) {
  const tags = Object.entries(record).flatMap(([name, value]) => {
    if (name === titleField) return [];
    if (Array.isArray(value)) return value.filter((each) => typeof each === "string");
    return name === "genre" || name === "category" ? [String(value)] : [];
  });
  return tags.slice(0, 4);
}

export function yearOf(record) {
  return typeof record.year === "number" ? String(record.year) : "";
}

/** Two buttons that say what is thought of an item. */
export function thumbs(id, title) {
  const said = state.said.get(keyOf(id));
  const button = (liked, sign, word) =>
    make("button", {
      type: "button",
      class: `thumb ${liked ? "up" : "down"}`,
      "aria-pressed": String(said?.liked === liked),
      "aria-label": `${word} ${title}`,
      title: word,
      onclick: (event) => {
        event.stopPropagation();
        say(id, title, liked);
      },
    }, sign);
  return make("span", { class: "thumbs" }, button(true, "▲", "Like"), button(false, "▼", "Dislike"));
}

/** A card of the list. */
export function card(item, open) {
  const title = titleOf(item.metadata, item.item_id);
  const tags = tagsOf(item.metadata);
  const element = make("li", { class: "card", "data-key": keyOf(item.item_id) },
    poster(title, tags),
    make("div", { class: "text" },
      make("button", { type: "button", class: "title", onclick: () => open(item.item_id) }, title),
      make("p", { class: "facts" }, [yearOf(item.metadata), tags.join(", ")].filter(Boolean).join(" · ")),
      item.because && item.because.similarity > 0
        ? make("p", { class: "because" }, "near ", make("b", {}, item.because.title ?? String(item.because.item_id)),
          ` (${percent(item.because.similarity)})`)
        : null,
    ),
    make("div", { class: "foot" },
      make("span", { class: "score", title: "The inner product of your vector and the movie's" }, item.score.toFixed(3)),
      thumbs(item.item_id, title)),
  );
  element.addEventListener("keydown", (event) => {
    const liked = { l: true, d: false }[event.key.toLowerCase()];
    if (liked !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) say(item.item_id, title, liked);
  });
  return element;
}

/** A coloured tile: there are no pictures, and none are fetched from elsewhere. */
export function poster(title, tags) {
  const words = title.split(/\s+/).filter((word) => !/^(the|a|an|of|and)$/i.test(word));
  const letters = (words.length ? words : [title]).slice(0, 2).map((word) => [...word][0]).join("");
  const tile = make("div", { class: "poster", "aria-hidden": "true" }, letters);
  const hue = hash(tags[0] ?? title);
  tile.style.setProperty("--hue", hue % 360);
  tile.style.setProperty("--turn", (hash(title) % 60) - 30);
  return tile;
}

/** A line of the list to like or dislike. */
export function row(item, open) {
  const title = titleOf(item.features, item.id);
  return make("li", { "data-key": keyOf(item.id) },
    make("button", { type: "button", class: "title", onclick: () => open(item.id) }, title),
    make("span", { class: "facts" }, yearOf(item.features)),
    thumbs(item.id, title));
}

/** What was said about an item, to be taken back by a click. */
export function chip({ id, title, liked }) {
  return make("li", {},
    make("button", { type: "button", class: `chip ${liked ? "up" : "down"}`, "aria-label": `Take back: ${title}`,
      title: "Take back", onclick: () => takeBack(id) }, liked ? "▲ " : "▼ ", title, make("span", { "aria-hidden": "true" }, " ×")));
}

export function percent(cosine) {
  return `${Math.round(100 * cosine)} %`;
}

function hash(text) {
  let value = 7;
  for (const character of String(text)) value = (value * 31 + character.codePointAt(0)) >>> 0;
  return value;
}
