// Who is looking, what they have said, and the address, which says what is shown so that it can be shared.

import { ask, idPath } from "./api.js";

const listeners = new Set();
let store = "vecrec";

export const state = {
  /** {kind: "visitor"}, {kind: "stored", id, history} or {kind: "profile", features, words} */
  person: { kind: "visitor" },
  /** What they have said: key of an id -> {id, title, liked} in the order of saying. */
  said: new Map(),
  /** Values to filter by: field -> {values: [...], list} or {low, high} */
  filters: {},
  /** The item whose dialog is open. */
  item: null,
  /** The last thing that was said, to tell what it moved. */
  last: null,
};

/** An id with its type as the key of a map: 1 and "1" are two. */
export function keyOf(id) {
  return JSON.stringify(id);
}

/** Call this after each change; it is told what changed: "said", "person", "filters" or "item". */
export function onChange(listener) {
  listeners.add(listener);
}

/** Take up what this browser knows about a recommender, and what the address says. */
export async function restore(name) {
  store = `vecrec:${name}`;
  try {
    const held = JSON.parse(localStorage.getItem(store) ?? "null");
    if (held) {
      if (held.person.kind === "profile") state.person = held.person;
      state.said = new Map(held.said.map((each) => [keyOf(each.id), each]));
    }
  } catch {
    localStorage.removeItem(store); // of an older page
  }
  await readAddress();
}

function keep() {
  if (state.person.kind === "stored") return; // what a stored user says is kept by the service
  try {
    localStorage.setItem(store, JSON.stringify({ person: state.person, said: [...state.said.values()] }));
  } catch {
    // A browser that keeps nothing still shows everything.
  }
}

function changed(what) {
  keep();
  for (const listener of listeners) listener(what);
}

// -- the address

function written(id) {
  return typeof id === "number" || !/^(-?\d+|".*)$/.test(id) ? String(id) : JSON.stringify(id);
}

function read(text) {
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  try {
    return text.startsWith('"') ? JSON.parse(text) : text;
  } catch {
    return text;
  }
}

export function address({ item = state.item, filters = state.filters, person = state.person } = {}) {
  const query = new URLSearchParams();
  if (person.kind === "stored") query.set("user", written(person.id));
  for (const [field, chosen] of Object.entries(filters)) {
    if (chosen.values) for (const value of chosen.values) query.append(`is.${field}`, JSON.stringify(value));
    else query.set(`in.${field}`, `${chosen.low ?? ""}..${chosen.high ?? ""}`);
  }
  if (item !== null) query.set("item", written(item));
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

let types = {};

/** Say which fields there are and of what type. */
export function useFacets(facets) {
  types = facets;
}

async function readAddress() {
  const query = new URLSearchParams(location.search);
  state.filters = {};
  for (const [name, text] of query) {
    const [kind, field] = [name.slice(0, 3), name.slice(3)];
    if (!Object.hasOwn(types, field)) continue;
    if (kind === "is.") {
      const values = [...(state.filters[field]?.values ?? []), parsed(text)];
      state.filters[field] = { values, list: types[field].type.endsWith("s") };
    } else if (kind === "in." && text.includes("..")) {
      const [low, high] = text.split("..").map((part) => (part === "" || Number.isNaN(Number(part)) ? null : Number(part)));
      if (low !== null || high !== null) state.filters[field] = { low, high };
    }
  }
  state.item = query.has("item") ? read(query.get("item")) : null;
  const user = query.has("user") ? read(query.get("user")) : null;
  if (user !== null && !(state.person.kind === "stored" && state.person.id === user)) {
    await becomeStored(user).catch(() => {});
  } else if (user === null && state.person.kind === "stored") {
    state.person = { kind: "visitor" };
    state.said = new Map();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function go() {
  const where = address();
  if (where !== location.pathname + location.search && where !== location.search) history.pushState(null, "", where);
}

addEventListener("popstate", async () => {
  const before = address({ item: null });
  await readAddress();
  changed(address({ item: null }) === before ? "item" : "address");
});

// -- what people do

/** Like, dislike, or take it back when it was said before. A stored user's word goes to the service. */
export async function say(id, title, liked) {
  const key = keyOf(id);
  const before = state.said.get(key);
  state.said.delete(key);
  const taken = before?.liked === liked;
  if (!taken) state.said.set(key, { id, title, liked });
  state.last = { title, liked, taken };
  const { person } = state;
  if (person.kind !== "stored") return changed("said");
  changed("pressed");
  try {
    await tell(person.id, id, taken ? null : liked, before);
    await refreshHistory(person);
    changed("said");
  } catch (problem) {
    if (before) state.said.set(key, before);
    else state.said.delete(key);
    changed("pressed");
    throw problem;
  }
}

async function tell(user, id, liked, before) {
  const who = idPath(user);
  if (liked === null) {
    const item = idPath(id);
    await ask("DELETE", `v1/users/${who.text}/${before.liked ? "likes" : "dislikes"}/${item.text}?id_type=${who.type === item.type ? who.type : "auto"}`);
  } else {
    await ask("POST", `v1/users/${who.text}/${liked ? "likes" : "dislikes"}?id_type=${who.type}`, { item_id: id });
  }
}

export function become(person) {
  state.person = person;
  state.said = new Map();
  state.last = null;
  changed("person");
  go();
}

/** Become a stored user; throws a Problem where nothing is stored. */
export async function becomeStored(id, { typed = true } = {}) {
  const { text, type } = idPath(id);
  const user = await ask("GET", `v1/users/${text}${typed ? `?id_type=${type}` : ""}`);
  state.person = { kind: "stored", id: user.id, features: user.features, history: user.history };
  state.last = null;
  await nameHistory(state.person);
}

export async function chooseStored(text) {
  await becomeStored(text, { typed: false });
  changed("person");
  go();
}

async function refreshHistory(person) {
  const { text, type } = idPath(person.id);
  person.history = (await ask("GET", `v1/users/${text}?id_type=${type}`)).history;
  await nameHistory(person);
}

/** What a stored user has said before, with titles for the latest events. */
async function nameHistory(person) {
  const latest = person.history.slice(-60);
  const ids = [...new Set(latest.map((event) => event.item_id))];
  const items = ids.length ? (await ask("POST", "v1/items/lookup", { ids })).items : [];
  person.records = new Map(items.map((item) => [keyOf(item.id), item.features]));
  state.said = new Map();
  for (const event of latest) {
    if (event.kind !== "like" && event.kind !== "dislike") continue;
    const key = keyOf(event.item_id);
    state.said.delete(key);
    state.said.set(key, { id: event.item_id, title: titleOf(person.records.get(key) ?? {}, event.item_id), liked: event.kind === "like" });
  }
}

let titleField = "title";

export function useTitle(field) {
  titleField = field;
}

export function titleOf(record, id) {
  const title = record[titleField];
  return typeof title === "string" && title.trim() ? title : typeof title === "number" ? String(title) : `No title (${id})`;
}

export function filterBy(field, value) {
  if (value === null) delete state.filters[field];
  else state.filters[field] = value;
  state.last = null;
  changed("filters");
  go();
}

export function clearFilters() {
  state.filters = {};
  state.last = null;
  changed("filters");
  go();
}

/** Open an item's dialog, or close it: the way back leads to where one was. */
export function show(item) {
  const depth = state.item === null ? 0 : history.state?.depth ?? 0; // how many items were opened one from another
  if (item === null && depth) return history.go(-depth);
  state.item = item;
  if (item === null) history.replaceState(null, "", address());
  else history.pushState({ depth: depth + 1 }, "", address());
  changed("item");
  return undefined;
}

/** Who is asked for, for lists and explanations. */
export function who() {
  const said = [...state.said.values()];
  const { person } = state;
  if (person.kind === "stored") return { user_id: person.id };
  return {
    ...(person.kind === "profile" ? { features: person.features } : {}),
    liked: said.filter((each) => each.liked).map((each) => each.id),
    disliked: said.filter((each) => !each.liked).map((each) => each.id),
  };
}

/** Whether nothing is known about whom it is for. */
export function isStranger() {
  return state.person.kind === "visitor" && !state.said.size;
}

/** What the service is asked for. */
export function question(k, exclude = []) {
  const conditions = Object.entries(state.filters).flatMap(([field, chosen]) => conditionsOf(field, chosen));
  return { ...who(), ...(conditions.length ? { where: { all: conditions } } : {}), k, exclude, explain: true };
}

function conditionsOf(field, chosen) {
  if (chosen.values) {
    const op = chosen.list ? "contains" : "eq";
    return chosen.values.length ? [{ any: chosen.values.map((value) => ({ field, op, value })) }] : [];
  }
  const bounds = [["ge", chosen.low], ["le", chosen.high]];
  return bounds.filter(([, value]) => value !== null).map(([op, value]) => ({ field, op, value }));
}
