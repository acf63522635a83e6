/**
 * Colours and painting on canvases; the colour functions need no document.
 *
 * Colours stay apart for all common kinds of colour blindness: blue to orange by size
 * and sign; for classes the colours of Okabe and Ito (2008) and two more, and shapes.
 */

import { format, range, short } from "./logic.js";

// Lightness falls to both sides alike, so that grey copies show the size.
const STOPS = [
  [0, 0x1b, 0x5c, 0xa6],
  [0.25, 0x86, 0xb4, 0xdb],
  [0.5, 0xf6, 0xf4, 0xf1],
  [0.75, 0xf2, 0xae, 0x6b],
  [1, 0xb5, 0x56, 0x00],
];

const CLASSES = [
  [0x00, 0x72, 0xb2],
  [0xe6, 0x9f, 0x00],
  [0x00, 0x9e, 0x73],
  [0xcc, 0x79, 0xa7],
  [0xd5, 0x5e, 0x00],
  [0x56, 0xb4, 0xe9],
  [0xf0, 0xe4, 0x42],
  [0x55, 0x55, 0x55],
  [0x33, 0x22, 0x88],
  [0x88, 0x22, 0x55],
];

const mix = (a, b, share) => a.map((v, i) => Math.round(v + share * (b[i] - v)));

function scaleColour(share) {
  const above = Math.max(
    1,
    STOPS.findIndex(([at]) => share <= at),
  );
  const [low, ...a] = STOPS[above - 1];
  const [high, ...b] = STOPS[above];
  return mix(a, b, (share - low) / (high - low));
}

const SCALE = Array.from({ length: 256 }, (_, byte) => scaleColour(byte / 255));

// A pixel's four bytes as one number, on the little-endian machines of all browsers.
const word = ([red, green, blue]) =>
  (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

const WORDS = SCALE.map(word);
const SIDES = WORDS.map((_, byte) => WORDS[byte > 127 ? 232 : 23]);

/** Return [red, green, blue] of a byte: 0 blue, 128 nearly white, 255 orange. */
export const scale = (byte) => SCALE[byte];

/** Return the colour of a number from -1 to 1; beyond, that of the end. */
export const signed = (value) =>
  SCALE[Math.round(127.5 + 127.5 * Math.min(1, Math.max(-1, value)))];

export const css = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;

/** Return the colour of class k of n; two classes are the ends of the scale. */
export function classColour(k, n) {
  return n === 2 ? SCALE[k ? 255 : 0] : CLASSES[k % CLASSES.length];
}

/**
 * Return RGBA bytes of a picture.
 *
 * @param {Uint8Array} values 0 to 255 on the scale
 * @param {Uint8Array} [classes] the most probable class of each pixel; then `values`
 *   are its probability, and the colour pales to white towards 1 / nClasses
 * @param {number} [nClasses]
 * @param {boolean} [discrete] show the side of 0.5, or the class, in full colour
 */
export function pixels(values, classes = null, nClasses = 2, discrete = false) {
  const out = new Uint32Array(values.length);
  if (classes) {
    const tables = Array.from({ length: nClasses }, (_, k) => {
      const colour = classColour(k, nClasses);
      return Array.from({ length: 256 }, (_, byte) => {
        const sure = (byte / 255 - 1 / nClasses) / (1 - 1 / nClasses);
        const full = discrete ? 0.75 : 0.15 + 0.75 * Math.max(0, sure);
        return word(mix([255, 255, 255], colour, full));
      });
    });
    for (let i = 0; i < out.length; i++) out[i] = tables[classes[i]][values[i]];
  } else {
    const table = discrete ? SIDES : WORDS;
    for (let i = 0; i < out.length; i++) out[i] = table[values[i]];
  }
  return new Uint8ClampedArray(out.buffer);
}

/** Return the width in pixels of a weight's edge: 0.5 to 8, by its size. */
export const edgeWidth = (weight) =>
  Number.isFinite(weight) ? Math.min(8, 0.5 + 2 * Math.abs(weight)) : 0.5;

/** Paint `pixels(…)` on a canvas whose width and height are the picture's. */
export function paintPicture(canvas, rgba) {
  const picture = new ImageData(rgba, canvas.width, canvas.height);
  // Many small pictures a frame are faster in the memory of the CPU.
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(picture, 0, 0);
}

/**
 * Make a canvas as fine as the screen and return its context, cleared, in CSS pixels.
 */
export function clear(canvas) {
  const ratio = globalThis.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h)
    Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = getComputedStyle(canvas).font;
  return { context, width, height };
}

/** Begin the outline of a class's shape: circle, square, triangle, diamond in turn. */
function shape(context, k, x, y, radius) {
  context.beginPath();
  const corners = [0, 4, 3, 4][k % 4];
  if (!corners) {
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  const turn = k % 4 === 1 ? Math.PI / 4 : Math.PI / 2;
  for (let i = 0; i < corners; i++) {
    const angle = turn + (2 * Math.PI * i) / corners;
    context.lineTo(
      x + 1.25 * radius * Math.cos(angle),
      y - 1.25 * radius * Math.sin(angle),
    );
  }
  context.closePath();
}

/**
 * Paint points given in pixels.
 *
 * @param {{ x: number, y: number, target: number, test: boolean }[]} points test points
 *   are drawn as outlines
 * @param {number} nClasses 0 for regression, whose targets go from -1 to 1
 */
export function paintPoints(context, points, nClasses, radius = 3) {
  for (const { x, y, target, test } of points) {
    const colour = css(nClasses ? classColour(target, nClasses) : signed(target));
    shape(context, nClasses ? target : 0, x, y, radius);
    context.fillStyle = test ? "#ffffff" : colour;
    context.strokeStyle = test ? colour : "#ffffff";
    context.lineWidth = test ? 1.5 : 1;
    context.fill();
    context.stroke();
    if (test || nClasses) continue;
    // Where a number is predicted well, its point has the colour of the plane.
    context.strokeStyle = "#444";
    context.lineWidth = 0.5;
    context.stroke();
  }
}

const INK = "#333";
const FAINT = "#d5d5d2";
const PADDING = { left: 46, right: 8, top: 6, bottom: 18 };

/**
 * Paint lines over epochs, with the ends of both axes as numbers.
 *
 * @param {{ epoch: number }[]} rows
 * @param {number} last the last epoch
 * @param {{ field: string, colour: string, dash: number[] }[]} lines
 */
export function paintCurves(canvas, rows, last, lines) {
  const { context, width, height } = clear(canvas);
  const { left, right, top, bottom } = PADDING;
  const [w, h] = [width - left - right, height - top - bottom];
  const limits = range(rows.flatMap((row) => lines.map(({ field }) => row[field])));
  context.strokeStyle = FAINT;
  context.lineWidth = 1;
  context.strokeRect(left + 0.5, top + 0.5, w - 1, h - 1);
  if (!limits) return;
  const low = Math.min(0, limits[0]);
  const high = limits[1] > low ? limits[1] : low + 1;
  const place = (epoch, value) => [
    left + ((epoch - 1) / Math.max(last - 1, 1)) * w,
    top + (1 - (value - low) / (high - low)) * h,
  ];
  for (const { field, colour, dash } of lines) {
    context.beginPath();
    for (const row of rows) {
      if (Number.isFinite(row[field])) context.lineTo(...place(row.epoch, row[field]));
    }
    context.setLineDash(dash);
    context.strokeStyle = colour;
    context.lineWidth = 1.75;
    context.stroke();
  }
  context.setLineDash([]);
  context.fillStyle = INK;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillText(format(high), left - 5, top + 5);
  context.fillText(format(low), left - 5, top + h - 4);
  context.textBaseline = "top";
  context.fillText(`epoch ${last}`, left + w, top + h + 5);
  context.textAlign = "left";
  context.fillText("1", left, top + h + 5);
}

/** Paint shares as bars, with the ends of the axis as numbers below. */
export function paintHistogram(canvas, shares, edges) {
  const { context, width, height } = clear(canvas);
  const h = height - 16;
  const largest = Math.max(...shares);
  context.fillStyle = FAINT;
  context.fillRect(0, h, width, 1);
  context.fillStyle = css(SCALE[30]);
  for (let i = 0; i < shares.length && largest > 0; i++) {
    const size = (shares[i] / largest) * (h - 1);
    context.fillRect(
      (i * width) / shares.length,
      h - size,
      width / shares.length - 1,
      size,
    );
  }
  context.fillStyle = INK;
  context.textBaseline = "top";
  context.textAlign = "left";
  context.fillText(short(edges[0]), 0, h + 4);
  context.textAlign = "right";
  context.fillText(short(edges[1]), width, h + 4);
}

/**
 * Paint the plane's grid and the points where two units of a layer put them.
 *
 * @param {Float32Array} grid (n, n, 2)
 * @param {number} n
 * @param {{ x: number, y: number, target: number, test: boolean }[]} points outputs of
 *   the two units
 */
export function paintView(canvas, grid, n, points, nClasses) {
  const { context, width, height } = clear(canvas);
  const size = Math.min(width, height);
  const margin = 10;
  const spans = [0, 1].map((unit) => {
    const values = grid.filter((_, i) => i % 2 === unit);
    const [low, high] = range(values) ?? [0, 1];
    return high > low ? [low, high] : [low - 1, high + 1];
  });
  const place = (a, b) =>
    [a, b].map((value, unit) => {
      const share = (value - spans[unit][0]) / (spans[unit][1] - spans[unit][0]);
      return margin + (unit ? 1 - share : share) * (size - 2 * margin);
    });
  context.strokeStyle = "#b9b9b5";
  context.lineWidth = 0.75;
  for (const [step, across] of [
    [1, n],
    [n, 1],
  ]) {
    for (let line = 0; line < n; line++) {
      context.beginPath();
      for (let i = 0; i < n; i++) {
        const at = 2 * (line * across + i * step);
        context.lineTo(...place(grid[at], grid[at + 1]));
      }
      context.stroke();
    }
  }
  const placed = points.map((point) => {
    const [x, y] = place(point.x, point.y);
    return { ...point, x, y };
  });
  paintPoints(context, placed, nClasses, 2);
  return spans;
}
