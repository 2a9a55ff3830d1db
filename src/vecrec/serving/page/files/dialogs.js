// The dialogs: an item with its reasons, who it is for, and the key.

import { ask, idPath, onKeyNeeded } from "./api.js";
import { make } from "./make.js";
import { factsOf, posterOf, row, thumbs } from "./parts.js";
import { become, chooseStored, show, state, titleOf, who } from "./state.js";

const $ = (id) => document.getElementById(id);
let schema = null;
let loading = null;

/** The schema of the live release, for labels. */
export function useSchema(found) {
  schema = found;
}

/** Show the item that the address names, or none. */
export function followItem() {
  const dialog = $("detail");
  if (state.item === null) {
    loading = null;
    if (dialog.open) dialog.close();
  } else if (loading !== state.item || !dialog.open) {
    void openItem(state.item);
  }
}

async function openItem(id) {
  loading = id;
  const dialog = $("detail");
  $("detail-body").replaceChildren(make("h2", { id: "detail-title" }, "Looking …"));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const { text, type } = idPath(id);
  try {
    const [item, similar, why] = await Promise.all([
      ask("GET", `v1/items/${text}?id_type=${type}`),
      ask("GET", `v1/items/${text}/similar?id_type=${type}&k=8`),
      ask("POST", "v1/explanations", { ...who(), item_id: id }).catch(() => null), // the item shows without it
    ]);
    if (loading === id) showItem(item, similar, why);
  } catch (problem) {
    if (loading === id) $("detail-body").replaceChildren(make("h2", { id: "detail-title" }, "Not available"),
      make("p", { class: "error", role: "alert" }, problem.message));
  }
}

function showItem(item, similar, why) {
  const title = titleOf(item.features, item.id);
  const facts = Object.entries(item.features).filter(([name, value]) =>
    value !== null && typeof value !== "object" && ![schema.title_field, schema.image_field, "year"].includes(name));
  $("detail-body").replaceChildren(
    make("div", { class: "hero" }, posterOf(item.features, item.id),
      make("div", {}, make("h2", { id: "detail-title" }, title),
        make("p", { class: "facts" }, factsOf(item.features)), thumbs(item.id, title))),
    whyOf(why),
    make("dl", {}, ...facts.slice(0, 8).flatMap(([name, value]) => [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, String(value))])),
    make("h3", {}, "Similar"),
    make("ol", { class: "rows" }, ...similar.items.map((each) => row(each.metadata, each.item_id))));
}

const RULES = { seen: "You have had it already.", disliked: "You do not like it.", excluded: "It is left out.", filter: "It does not pass the filter." };

/** The sentence, and the largest parts of the score as bars. */
function whyOf(why) {
  if (!why || (!why.sentence && !why.rules.length)) return "";
  const told = why.parts.filter((part) => part.share >= 0.02 && ["event", "feature"].includes(part.kind)).slice(0, 4);
  const bars = told.map((part) => {
    const name = part.kind === "event" ? part.title ?? String(part.item_id) : `${part.feature.replaceAll("_", " ")}: ${labelOf(part.feature, part.feature_value)}`;
    const bar = make("meter", { min: 0, max: 1, value: part.share, "aria-label": `share of ${name}` });
    return make("li", {}, make("span", {}, name), bar, make("span", { class: "facts" }, `${Math.round(100 * part.share)} %`));
  });
  return make("section", { class: "why" }, make("h3", {}, why.sentence ?? "Why it is not in the list"),
    ...why.rules.map((rule) => make("p", { class: "hint" }, RULES[rule] ?? rule)),
    bars.length ? make("ul", {}, ...bars) : "");
}

function labelOf(feature, value) {
  return schema.labels[feature]?.[String(value)] ?? String(value);
}

$("detail").addEventListener("close", () => {
  if (state.item !== null) show(null);
});

/** Choose who it is for. */
export function openPerson() {
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
    await chooseStored($("who-id").value.trim());
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
