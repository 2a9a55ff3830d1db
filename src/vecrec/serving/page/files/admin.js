// The operator's view.

import { ask, forgetKey, idPath, onKeyNeeded } from "./api.js";
import { make } from "./make.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = { vectors: "var(--accent)", popularity: "#c2820a", catalogue: "#8a8f9f", words: "#3f8f6b" };
let titleField = "title";

async function begin() {
  try {
    const [seen, schema] = await Promise.all([ask("GET", "v1/admin"), ask("GET", "v1/schema").catch(() => null)]);
    titleField = schema?.title_field ?? titleField;
    $("alert").hidden = true;
    showAll(seen);
  } catch (problem) {
    fail(problem, begin);
  }
}

function showAll(seen) {
  document.title = `${seen.name}: operation`;
  $("name").textContent = `${seen.name}: operation`;
  $("parts").replaceChildren(...Object.entries(seen.parts).map(([name, state]) =>
    make("li", { class: state === "ok" ? "good" : "bad" }, make("b", {}, `${state === "ok" ? "✓" : "✗"} ${name.replaceAll("_", " ")}`), state === "ok" ? "" : ` ${state}`)));
  $("requests").replaceChildren(minutes(seen.minutes));
  $("lists").replaceChildren(shares(seen.lists), make("p", { class: "hint" },
    `${seen.short_lists} were short, ${seen.missing_records} items had no record.`));
  $("recall").replaceChildren(...recalls(seen));
  $("releases").replaceChildren(...seen.releases.map(release));
  for (const name of ["popular", "rising"]) {
    const rows = seen[name].map((item) => bar(item.title, item.share, () => look("item", item.item_id)));
    $(name).replaceChildren(...(rows.length ? rows : [make("li", { class: "hint" }, "Nothing yet.")]));
  }
}

/** Requests as columns, errors in red, and the 95th percentile as a line. */
function minutes(all) {
  if (!all.length) return make("p", { class: "hint" }, "No requests yet.");
  const now = Math.floor(Date.now() / 60000) * 60;
  const most = Math.max(...all.map((each) => each.requests));
  const slowest = Math.max(...all.map((each) => each.p95_ms), 1);
  const total = all.reduce((sum, each) => sum + each.requests, 0);
  const errors = all.reduce((sum, each) => sum + each.errors, 0);
  const last = all[all.length - 1];
  const text = `${total} requests in two hours, ${errors} with errors; the last minute: ${last.requests}, median ${last.p50_ms.toFixed(1)} ms, 95 % within ${last.p95_ms.toFixed(1)} ms`;
  const chart = draw("svg", { viewBox: "0 0 484 120", role: "img", "aria-label": text });
  chart.append(draw("path", { d: "M0 110.5h484M0 60h484M0 10h484", stroke: "var(--line)" }));
  const place = (each) => 480 - ((now - each.start) / 60) * 4;
  for (const each of all) {
    const height = (100 * each.requests) / most;
    const bad = (height * each.errors) / each.requests;
    chart.append(draw("rect", { x: place(each), y: 110 - height, width: 3, height: height - bad, fill: "var(--accent)" }));
    chart.append(draw("rect", { x: place(each), y: 110 - bad, width: 3, height: bad, fill: "var(--down)" }));
  }
  const points = all.map((each) => `${place(each) + 1.5},${110 - (95 * each.p95_ms) / slowest}`).join(" ");
  chart.append(draw("polyline", { points, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 }));
  return make("figure", {}, chart, make("figcaption", { class: "hint" }, text));
}

function shares(lists) {
  const total = Object.values(lists).reduce((sum, count) => sum + count, 0);
  if (!total) return make("p", { class: "hint" }, "No lists yet.");
  const text = Object.entries(lists).map(([name, count]) => `${name} ${Math.round((100 * count) / total)} %`).join(", ");
  const chart = draw("svg", { viewBox: "0 0 480 30", role: "img", "aria-label": text });
  let left = 0;
  for (const [name, count] of Object.entries(lists)) {
    const width = (480 * count) / total;
    chart.append(draw("rect", { x: left, y: 0, width, height: 24, fill: COLOURS[name] ?? "gray" }));
    left += width;
  }
  return make("figure", {}, chart, make("figcaption", { class: "hint" }, text));
}

const PASSING = { 1: "all items pass", 0.1: "a tenth to all pass", 0.01: "a hundredth to a tenth pass", 0: "fewer pass" };

function recalls({ recall, recall_seconds: every }) {
  if (!every) return [make("li", { class: "hint" }, "Not watched: recall_seconds is 0.")];
  if (!recall.length) return [make("li", { class: "hint" }, `Searches are repeated exactly every ${every} seconds. None yet.`)];
  return recall.map((each) => {
    const [value, low, high] = [each.recall, each.low, each.high].map((share) => share.toFixed(3));
    const text = `recall@${each.k} ${value} (${low} to ${high}), ${PASSING[each.selectivity]}`;
    return make("li", {}, make("span", {}, text, make("span", { class: "facts" }, ` ${each.searches} searches`)),
      make("meter", { min: 0, max: 1, value: each.recall, "aria-label": text }));
  });
}

function release(each) {
  const facts = [`${each.encoder}, ${each.dim} dimensions`, each.reranker && `second stage ${each.reranker}`,
    Object.entries(each.counts).map(([name, count]) => `${count.toLocaleString()} ${name}`).join(", ")];
  const checks = Object.entries(each.checks).flatMap(([name, value]) =>
    [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, value === null ? "not measured" : value.toLocaleString(undefined, { maximumFractionDigits: 3 }))]);
  return make("article", { class: each.live ? "live" : "" },
    make("h3", {}, each.id, each.live ? make("span", { class: "moved new" }, "live") : ""),
    make("p", { class: "hint" }, new Date(each.created_at).toLocaleString()),
    make("p", {}, facts.filter(Boolean).join(" · ")), make("dl", {}, ...checks),
    each.live ? "" : make("button", { type: "button", onclick: () => change(each.id) }, "Make live"));
}

async function change(id) {
  if (!confirm(`Make ${id} live? The list of every user changes.`)) return;
  await act("v1/admin/release", { release: id }, () => begin());
}

function bar(name, share, open) {
  const meter = make("meter", { min: 0, max: 1, value: share, "aria-label": `share of ${name}` });
  return make("li", {}, make("button", { type: "button", class: "title", onclick: open }, name), meter);
}

// -- compare and repair

$("verify").addEventListener("click", () => act("v1/admin/verify", undefined, (found) => {
  const kinds = ["unsearchable", "orphaned", "stale", "pending"].filter((kind) => found[kind].length);
  const told = kinds.map((kind) => `${found[kind].length} ${kind}`).join(", ");
  $("verified").textContent = `${found.records.toLocaleString()} records, ${found.vectors.toLocaleString()} vectors: ${found.agree ? "they agree" : told}`;
}));
$("repair").addEventListener("click", () => act("v1/admin/repair", undefined, (found) => {
  $("verified").textContent = found.repaired.length ? `${found.repaired.length} items were mended` : "Nothing was to be mended";
}));
$("again").addEventListener("click", begin);

async function act(path, body, done) {
  for (const button of document.querySelectorAll("main button")) button.disabled = true;
  try {
    done(await ask("POST", path, body));
  } catch (problem) {
    fail(problem, () => act(path, body, done));
  } finally {
    for (const button of document.querySelectorAll("main button")) button.disabled = false;
  }
}

// -- look up

$("look").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("look-id").value.trim();
  void look($("look-kind").value, /^-?\d{1,15}$/.test(text) ? Number(text) : text);
});

async function look(kind, id) {
  const { text, type } = idPath(id);
  $("found").replaceChildren(make("p", { class: "hint" }, "Looking …"));
  try {
    if (kind === "user") {
      const [user, list] = await Promise.all([ask("GET", `v1/users/${text}?id_type=${type}`),
        ask("GET", `v1/users/${text}/recommendations?id_type=${type}&k=10&explain=true`)]);
      const ids = [...new Set(user.history.slice(-30).map((each) => each.item_id))];
      const items = ids.length ? (await ask("POST", "v1/items/lookup", { ids })).items : [];
      showUser(user, list, new Map(items.map((item) => [JSON.stringify(item.id), nameOf(item.features, item.id)])));
    } else {
      const [item, similar] = await Promise.all([ask("GET", `v1/items/${text}?id_type=${type}`),
        ask("GET", `v1/items/${text}/similar?id_type=${type}&k=10`)]);
      $("found").replaceChildren(make("h3", {}, nameOf(item.features, item.id)), facts(item.features), make("h3", {}, "Similar"),
        make("ol", {}, ...similar.items.map((each) => make("li", {}, nameOf(each.metadata, each.item_id)))));
    }
  } catch (problem) {
    $("found").replaceChildren(make("p", { class: "error" }, problem.message));
  }
}

function showUser(user, list, names) {
  const past = user.history.slice(-30).reverse().map((event) => make("li", {}, names.get(JSON.stringify(event.item_id)) ?? String(event.item_id),
    make("span", { class: "facts" }, ` ${[event.kind, event.rating === null ? null : `rated ${event.rating}`, event.time && new Date(1000 * event.time).toLocaleString()].filter((each) => each != null).join(", ")}`)));
  $("found").replaceChildren(make("h3", {}, `User ${user.id}`), facts(user.features), make("div", { class: "two" },
    make("div", {}, make("h3", {}, `Would get (${list.served_by})`), make("ol", {}, ...list.items.map((each) =>
      make("li", {}, nameOf(each.metadata, each.item_id), make("span", { class: "facts" }, ` ${each.because?.sentence ?? ""}`))))),
    make("div", {}, make("h3", {}, `${user.history.length} events`), make("ul", {}, ...past))));
}

function nameOf(record, id) {
  return String(record[titleField] || id);
}

function facts(record) {
  return make("dl", {}, ...Object.entries(record).flatMap(([name, value]) =>
    [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]));
}

function fail(problem, again) {
  if (problem.status === 403) forgetKey(); // a key of a smaller scope: ask for another one
  $("alert").replaceChildren(make("b", {}, problem.title ?? "Something went wrong"), make("span", {}, problem.message),
    make("button", { type: "button", onclick: again }, "Try again"));
  $("alert").hidden = false;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

let waiting = null;
onKeyNeeded(() => {
  waiting ??= new Promise((resolve) => {
    $("key-value").value = "";
    $("key").showModal();
    $("key").addEventListener("close", () => {
      waiting = null;
      resolve($("key-value").value || null);
    }, { once: true });
  });
  return waiting;
});

begin();
