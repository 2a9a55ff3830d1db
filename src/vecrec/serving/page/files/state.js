// Who is looking and what they have said, kept in this browser.

const listeners = new Set();
let store = "vecrec";

export const state = {
  /** {kind: "visitor"}, {kind: "stored", id} or {kind: "profile", features} */
  person: { kind: "visitor" },
  /** What they have said: key of an id -> {id, title, liked} in the order of saying. */
  said: new Map(),
  /** Values to filter by: field -> {values: [...]} or {low, high} */
  filters: {},
};

/** An id with its type as the key of a map: 1 and "1" are two. */
export function keyOf(id) {
  return JSON.stringify(id);
}

/** Call this after each change. */
export function onChange(listener) {
  listeners.add(listener);
}

/** Take up what this browser knows about a recommender. */
export function restore(name) {
  store = `vecrec:${name}`;
  try {
    const held = JSON.parse(localStorage.getItem(store) ?? "null");
    if (held) {
      state.person = held.person;
      state.said = new Map(held.said.map((each) => [keyOf(each.id), each]));
      state.filters = held.filters;
    }
  } catch {
    localStorage.removeItem(store); // of an older page
  }
}

function changed() {
  try {
    localStorage.setItem(store, JSON.stringify({ ...state, said: [...state.said.values()] }));
  } catch {
    // A browser that keeps nothing still shows everything.
  }
  for (const listener of listeners) listener();
}

/** Like, dislike, or take it back when it was said before. */
export function say(id, title, liked) {
  const key = keyOf(id);
  const before = state.said.get(key);
  state.said.delete(key);
  if (before?.liked !== liked) state.said.set(key, { id, title, liked });
  changed();
}

export function takeBack(id) {
  state.said.delete(keyOf(id));
  changed();
}

export function become(person) {
  state.person = person;
  state.said = new Map();
  changed();
}

export function filterBy(field, value) {
  if (value === null) delete state.filters[field];
  else state.filters[field] = value;
  changed();
}

/** What the service is asked for. */
export function question(k) {
  const said = [...state.said.values()];
  const { person } = state;
  const conditions = Object.entries(state.filters).flatMap(([field, chosen]) => conditionsOf(field, chosen));
  return {
    ...(person.kind === "stored" ? { user_id: person.id } : {}),
    ...(person.kind === "profile" ? { features: person.features } : {}),
    liked: said.filter((each) => each.liked).map((each) => each.id),
    disliked: said.filter((each) => !each.liked).map((each) => each.id),
    ...(conditions.length ? { where: { all: conditions } } : {}),
    k,
    explain: true,
  };
}

function conditionsOf(field, chosen) {
  if (chosen.values) {
    const op = chosen.list ? "contains" : "eq";
    return chosen.values.length ? [{ any: chosen.values.map((value) => ({ field, op, value })) }] : [];
  }
  const bounds = [["ge", chosen.low], ["le", chosen.high]];
  return bounds.filter(([, value]) => value !== null).map(([op, value]) => ({ field, op, value }));
}
