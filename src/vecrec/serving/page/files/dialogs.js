// The dialogs: an item with its like, who it is for, and the key.

import { ask, idPath, onKeyNeeded } from "./api.js";
import { make, poster, tagsOf, thumbs, titleOf, yearOf } from "./parts.js";
import { become, onChange } from "./state.js";

const $ = (id) => document.getElementById(id);
let shown = null;

/** Show an item with those that are similar. */
export async function openItem(id) {
  shown = id;
  const dialog = $("detail");
  $("detail-body").replaceChildren(make("p", { class: "hint" }, "Looking …"));
  if (!dialog.open) dialog.showModal();
  const { text, type } = idPath(id);
  try {
    const [item, similar] = await Promise.all([
      ask("GET", `v1/items/${text}?id_type=${type}`),
      ask("GET", `v1/items/${text}/similar?id_type=${type}&k=8`),
    ]);
    if (shown === id) showItem(item, similar);
  } catch (problem) {
    if (shown === id) $("detail-body").replaceChildren(make("h2", { id: "detail-title" }, "Not available"),
      make("p", { class: "error", role: "alert" }, problem.message));
  }
}

function showItem(item, similar) {
  const title = titleOf(item.features, item.id);
  const tags = tagsOf(item.features);
  const facts = Object.entries(item.features).filter(([name, value]) =>
    value !== null && typeof value !== "object" && name !== "year" && titleOf({ [name]: value }, item.id) !== title);
  $("detail-body").replaceChildren(
    make("div", { class: "hero" }, poster(title, tags),
      make("div", {}, make("h2", { id: "detail-title" }, title),
        make("p", { class: "facts" }, [yearOf(item.features), tags.join(", ")].filter(Boolean).join(" · ")),
        thumbs(item.id, title))),
    make("dl", {}, ...facts.slice(0, 8).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))])),
    make("h3", {}, "Similar"),
    make("ol", { class: "rows" }, ...similar.items.map((each) => similarRow(each))));
}

function similarRow(item) {
  const title = titleOf(item.metadata, item.item_id);
  return make("li", {},
    make("button", { type: "button", class: "title", onclick: () => openItem(item.item_id) }, title),
    make("span", { class: "facts" }, yearOf(item.metadata)),
    make("span", { class: "score" }, item.score.toFixed(3)));
}

// What is said in the dialog shows there at once.
onChange(() => {
  const box = $("detail-body").querySelector(".hero .thumbs");
  if (box && shown !== null) {
    const title = $("detail-title").textContent;
    box.replaceWith(thumbs(shown, title));
  }
});

/** Let somebody choose who it is for. */
export function openPerson(schema) {
  $("who-error").textContent = "";
  $("who-fields").replaceChildren(...schema.users.map((feature) => fieldOf(feature, schema.labels[feature.name] ?? {})));
  $("who").showModal();
}

function fieldOf(feature, labels) {
  const id = `feature-${feature.name}`;
  const label = make("label", { for: id }, feature.name.replaceAll("_", " "));
  const names = { id, name: feature.name, "data-type": feature.dtype ?? "string" };
  if (!feature.values) {
    const type = feature.kind === "numeric" ? "number" : "text";
    return make("div", { class: "field" }, label, make("input", { ...names, type, step: "any" }));
  }
  const options = feature.values.map((value) => make("option", { value: String(value) }, labels[String(value)] ?? String(value)));
  return make("div", { class: "field" }, label, make("select", names, make("option", { value: "" }, "not said"), ...options));
}

function typed(input) {
  if (input.dataset.type === "integer" || input.dataset.type === "number") return Number(input.value);
  return input.dataset.type === "boolean" ? input.value === "true" : input.value;
}

$("who-new").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = [...$("who-fields").querySelectorAll("[name]")].filter((input) => input.value !== "");
  const features = Object.fromEntries(given.map((input) => [input.name, typed(input)]));
  const words = given.map((input) => (input.selectedOptions ? input.selectedOptions[0].textContent : input.value));
  become(given.length ? { kind: "profile", features, words } : { kind: "visitor" });
  $("who").close();
});

$("who-known").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("who-error").textContent = "";
  try {
    const user = await ask("GET", `v1/users/${encodeURIComponent($("who-id").value.trim()).replaceAll(".", "%2E")}`);
    become({ kind: "stored", id: user.id, events: user.history.length });
    $("who").close();
  } catch (problem) {
    $("who-error").textContent = problem.message;
  }
});

// Several requests may find out at once that a key is needed: one question serves them all.
let waiting = null;
onKeyNeeded(() => {
  waiting ??= new Promise((resolve) => {
    const dialog = $("key");
    $("key-value").value = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      waiting = null;
      resolve($("key-value").value || null);
    }, { once: true });
  });
  return waiting;
});

for (const dialog of document.querySelectorAll("dialog")) {
  // A click on what is behind closes it.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && dialog.id !== "key") dialog.close();
  });
}
