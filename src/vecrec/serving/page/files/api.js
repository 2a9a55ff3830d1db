// Asks the service. Everything is relative, so the page works wherever the application is mounted.

const KEY = "vecrec-key";

export class Problem extends Error {
  constructor(status, title, detail, request = "") {
    super(detail || title);
    this.request = request;
    this.status = status;
    this.title = title;
  }
}

let askForKey = async () => null;

/** Say who asks a person for a key when the service wants one. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** Forget a key, so that the next request asks for another one. */
export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

/** The JSON of an answer; a Problem for everything that is none. */
export async function ask(method, path, body) {
  const answer = await send(method, path, body);
  if (answer.status === 401) {
    const key = await askForKey();
    if (key) {
      sessionStorage.setItem(KEY, key);
      return ask(method, path, body);
    }
  }
  const value = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok || (value === null && answer.status !== 204)) {
    throw new Problem(answer.status, value?.title ?? `Status ${answer.status}`, value?.detail ?? "", value?.request_id ?? answer.headers.get("X-Request-ID") ?? "");
  }
  return value;
}

async function send(method, path, body) {
  const headers = { Accept: "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, "The service does not answer", "The service does not answer. Is it running, and are you online?");
  }
}

/** The part of a path for an id, with its type. */
export function idPath(id) {
  const text = encodeURIComponent(String(id)).replaceAll(".", "%2E");
  return { text, type: typeof id === "number" ? "integer" : "string" };
}
