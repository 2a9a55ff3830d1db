// Posters, drawn from the item itself: a hue for each value of the catalogue, a pattern for each title, and initials.

const SVG = "http://www.w3.org/2000/svg";
const hues = new Map();
const counts = new Map();
let sector = 18;

/** Spread the hues evenly over the values that the items have, the most frequent ones first in the schema. */
export function useValues(facets) {
  hues.clear();
  const values = Object.values(facets).flatMap((facet) => facet.values.map(String));
  // A catalogue of a few kinds has as many colours as one of many: each kind has a part of the circle to itself.
  sector = Math.min(90, Math.max(18, 250 / Math.max(1, values.length)));
  values.forEach((value, place) => {
    if (!hues.has(value)) hues.set(value, hue(place * 0.381966)); // neighbours in the list are far apart
    counts.set(value, place);
  });
}

/** A hue for a part of the circle from 0 to 1, without the yellows, which are mud where white letters can be read. */
function hue(part) {
  const place = (part % 1) * 310;
  return place < 40 ? place : place + 50;
}

/** A poster. Its colours are those of the item's rarest values, since the most frequent one would paint all alike. */
export function poster(title, tags, image) {
  const seed = hash(title);
  const told = [...tags].sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0));
  const first = hues.get(told[0]) ?? hue((seed % 360) / 360);
  const second = told.length > 1 ? hues.get(told[1]) ?? first : first + 40 + (seed % 50);
  const tile = make("svg", { viewBox: "0 0 120 80", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true", focusable: "false" });
  const ground = readable(first + ((seed >>> 3) % sector) - sector / 2, 56);
  tile.append(make("rect", { width: 120, height: 80, fill: css(ground) }));
  const lines = readable(second, 60, ground[2] - 9);
  for (const shape of PATTERNS[(seed >>> 8) % PATTERNS.length](seed)) {
    const [tag, attributes] = shape;
    tile.append(make(tag, { ...attributes, [attributes.stroke ? "stroke" : "fill"]: css(lines) }));
  }
  const letters = make("text", { x: 60, y: 41, "text-anchor": "middle", "dominant-baseline": "central", fill: "#fff", "font-weight": 700, "letter-spacing": 2 });
  letters.textContent = initials(title);
  tile.append(letters);
  const box = document.createElement("div");
  box.className = "poster";
  box.append(tile);
  if (typeof image === "string" && /^(https:\/\/|\/|data:image\/)/.test(image)) box.append(picture(image));
  return box;
}

function picture(address) {
  const image = document.createElement("img");
  image.alt = "";
  image.loading = "lazy";
  image.decoding = "async";
  image.referrerPolicy = "no-referrer";
  image.addEventListener("error", () => image.remove()); // the drawing stays
  image.src = address;
  return image;
}

/** A hand with its thumb up, or down. */
export function hand(liked) {
  const drawing = make("svg", { viewBox: "0 0 24 24", class: "hand", fill: "currentColor", "aria-hidden": "true", focusable: "false" });
  const lines = "M3 10h4v11H3z M9 21V10l4-8c1.7 0 2.6 1.3 2.3 3L14.6 9H20c1.3 0 2.2 1.2 1.9 2.5l-1.8 8c-.2.9-1 1.5-1.9 1.5z";
  drawing.append(make("path", liked ? { d: lines } : { d: lines, transform: "rotate(180 12 12)" }));
  return drawing;
}

export function initials(title) {
  const words = title.match(/[\p{L}\p{N}]+/gu) ?? [];
  const told = words.filter((word) => !/^(the|a|an|of|and|der|die|das|la|le|el)$/i.test(word));
  return (told.length ? told : words).slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "·";
}

const PATTERNS = [
  (seed) => [[ "circle", { cx: 20 + (seed % 80), cy: 12 + (seed % 50), r: 34 } ], [ "circle", { cx: 110 - (seed % 60), cy: 78, r: 20 } ]],
  (seed) => [0, 1, 2, 3, 4].map((n) => ["path", { d: `M${n * 30 - 20} 80 l${34 + (seed % 12)} -80 h12 l-${34 + (seed % 12)} 80z` }]),
  (seed) => [0, 1, 2].map((n) => ["path", { d: `M0 ${24 + n * 22} q30 -${12 + (seed % 14)} 60 0 t60 0`, fill: "none", stroke: "x", "stroke-width": 6 }]),
  (seed) => Array.from({ length: 15 }, (_, n) => ["circle", { cx: 12 + (n % 5) * 24, cy: 14 + Math.floor(n / 5) * 26, r: 3 + ((seed >>> n) & 3) }]),
  (seed) => [[ "path", { d: `M0 80 L${30 + (seed % 30)} ${20 + (seed % 20)} L${70 + (seed % 20)} 80z` } ], [ "path", { d: `M50 80 L${85 + (seed % 20)} 32 L125 80z` } ]],
  (seed) => [0, 1, 2].map((n) => ["circle", { cx: 60, cy: 40, r: 14 + n * 16 + (seed % 6), fill: "none", stroke: "x", "stroke-width": 5 }]),
  (seed) => [[ "rect", { x: 10 + (seed % 30), y: -10, width: 34, height: 100, transform: `rotate(${10 + (seed % 25)} 60 40)` } ]],
];

/** Hue, saturation and a lightness at which white letters have a contrast of 4.5 at least. */
function readable(hue, saturation, most = 46) {
  let lightness = most;
  while (lightness > 8 && contrast(hue, saturation, lightness) < 4.6) lightness -= 1;
  return [((hue % 360) + 360) % 360, saturation, Math.max(lightness, 8)];
}

function contrast(hue, saturation, lightness) {
  const a = (saturation / 100) * Math.min(lightness / 100, 1 - lightness / 100);
  const channel = (n) => {
    const k = (n + (((hue % 360) + 360) % 360) / 30) % 12;
    const value = lightness / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 1.05 / (0.2126 * channel(0) + 0.7152 * channel(8) + 0.0722 * channel(4) + 0.05);
}

function css([hue, saturation, lightness]) {
  return `hsl(${Math.round(hue)} ${saturation}% ${lightness}%)`;
}

function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function hash(text) {
  let value = 7;
  for (const character of String(text)) value = (Math.imul(value, 31) + character.codePointAt(0)) >>> 0;
  return Math.imul(value ^ (value >>> 15), 0x2c1b3c6d) >>> 0;
}
