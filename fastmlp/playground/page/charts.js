/** Curves over the epochs, the plane as a layer sees it, histograms per layer. */

import { paintCurves, paintHistogram, paintView } from "./drawing.js";
import { h } from "./dom.js";
import { Curves, format, nextPair } from "./logic.js";

const LINES = [
  { field: "train", name: "training", colour: "#222222", dash: [] },
  { field: "test", name: "test", colour: "#b55600", dash: [5, 3] },
];
const RATE = [{ field: "rate", colour: "#1b5ca6", dash: [] }];

const NO_LAYER = "There is no hidden layer.";

const chart = (name, label) =>
  h(`canvas.${name}`, { role: "img", "aria-label": label });

/** Loss and learning rate over the epochs. */
export function createCurves() {
  const loss = chart("loss-chart", "loss: no epoch yet");
  const rate = chart("rate-chart", "learning rate: no epoch yet");
  const key = LINES.map(({ field, name }) => h(`span.line.${field}`, {}, name));
  const element = h(
    "section.panel.curves-panel",
    { "aria-label": "Loss and learning rate" },
    h("div.panel-head", {}, h("h2", {}, "Loss"), ...key),
    loss,
    h("h3", {}, "Learning rate"),
    rate,
  );
  const curves = new Curves();

  const paint = () => {
    paintCurves(loss, curves.rows, curves.epoch, LINES);
    paintCurves(rate, curves.rows, curves.epoch, RATE);
    const last = curves.rows.at(-1);
    if (!last) return;
    const losses = `training ${format(last.train)}, test ${format(last.test)}`;
    loss.setAttribute("aria-label", `loss after ${curves.epoch} epochs: ${losses}`);
    rate.setAttribute("aria-label", `learning rate ${format(last.rate)}`);
  };
  new ResizeObserver(paint).observe(loss);

  return {
    element,
    paint,
    clear: () => curves.clear(),
    add: (data, epoch) => curves.add(data, epoch),
  };
}

/**
 * The plane's grid and the points, where two units of a layer put them.
 *
 * @param {() => void} changed another layer or pair was chosen
 */
export function createView(changed) {
  const canvas = chart("view-chart", "two units of a layer");
  const select = h("select", {
    "aria-label": "layer",
    change: () => choose(Number(select.value)),
  });
  const goOn = () => choose(layer, nextPair(pair, sizes[layer]));
  const next = h("button", { type: "button", click: goOn }, "next pair");
  const caption = h("p.caption");
  const body = h(
    "div.view-body",
    {},
    canvas,
    h("div.view-choice", {}, select, next, caption),
  );
  const nothing = h("p.caption", {}, NO_LAYER);
  const element = h(
    "section.panel.view-panel",
    { "aria-label": "The plane as a layer sees it" },
    h("h2", {}, "The plane as a layer sees it"),
    body,
    nothing,
  );
  let sizes = [];
  let layer = 0;
  let pair = [0, 0];

  function choose(nextLayer, nextUnits = [0, Math.min(1, sizes[nextLayer] - 1)]) {
    layer = nextLayer;
    pair = nextUnits;
    changed();
  }

  return {
    element,

    /** Offer the hidden layers; keep the choice where it still exists. */
    update(hidden) {
      if (String(hidden) === String(sizes)) return;
      sizes = hidden;
      select.replaceChildren(
        ...sizes.map((_, l) => h("option", { value: l }, `layer ${l + 1}`)),
      );
      body.hidden = !sizes.length;
      nothing.hidden = !body.hidden;
      layer = Math.max(0, Math.min(layer, sizes.length - 1));
      if (!pair.every((unit) => unit < sizes[layer])) pair = [0, 0];
      if (pair[0] === pair[1]) pair = [0, Math.min(1, (sizes[layer] ?? 1) - 1)];
      select.value = layer;
    },

    /** Return the message's `view`. */
    request: () => (sizes.length ? { layer, units: pair } : null),

    paint(frame, points) {
      const { view_grid: grid, view_points: outputs } = frame.arrays;
      if (!grid) return;
      const placed = [];
      for (let i = 0; 4 * i < points.length; i++) {
        if (points[4 * i + 3]) continue;
        const [x, y] = outputs.data.subarray(2 * i, 2 * i + 2);
        placed.push({ x, y, target: points[4 * i + 2], test: false });
      }
      const spans = paintView(
        canvas,
        grid.data,
        grid.shape[0],
        placed,
        frame.classes.length,
      );
      const [a, b] = spans.map(([low, high]) => `${format(low)} to ${format(high)}`);
      const text =
        sizes[layer] > 1
          ? `across: unit ${pair[0] + 1}, from ${a}; up: unit ${pair[1] + 1}, from ${b}`
          : `across and up: unit 1, from ${a}`;
      if (caption.textContent !== text) {
        caption.textContent = text;
        canvas.setAttribute("aria-label", text);
      }
    },
  };
}

/** Activations and back-propagated gradients of each layer. */
export function createHistograms() {
  const rows = h("div.histograms");
  const element = h(
    "section.panel.histograms-panel",
    { "aria-label": "Activations and gradients per layer" },
    h("h2", {}, "Activations and gradients per layer"),
    rows,
  );
  let charts = null;

  function build(n) {
    charts = Array.from({ length: n }, (_, l) => ({
      name: `Layer ${l + 1}`,
      activations: chart("histogram", "activations"),
      gradients: chart("histogram", "gradients"),
      size: h("span"),
    }));
    const cells = charts.map(({ name, activations, gradients, size }) =>
      h("div.histogram-column", {}, h("h3", {}, name), activations, gradients, size),
    );
    const names = h("div.histogram-names", {}, h("span"));
    names.append(
      h("span", {}, "activations"),
      h("span", {}, "log10 |gradients|"),
      h("span", {}, "root mean square"),
    );
    if (n) rows.replaceChildren(names, ...cells);
    else rows.replaceChildren(h("p.caption", {}, NO_LAYER));
  }

  return {
    element,
    paint(frame) {
      const n = frame.layers.length;
      if (charts?.length !== n) build(n);
      charts.forEach((column, l) => {
        for (const [part, name] of [
          ["activations", "activation"],
          ["gradients", "gradient"],
        ]) {
          const { data, shape } = frame.arrays[`${name}_histograms`];
          const shares = data.subarray(l * shape[1], (l + 1) * shape[1]);
          const edges = frame.arrays[`${name}_edges`].data.subarray(2 * l, 2 * l + 2);
          paintHistogram(column[part], shares, edges);
          const [low, high] = [...edges].map(format);
          const text = `${part} of ${column.name}: ${low} to ${high}`;
          if (column[part].getAttribute("aria-label") !== text) {
            column[part].setAttribute("aria-label", text);
          }
        }
        column.size.textContent = format(frame.arrays.gradient_norms.data[l]);
      });
    },
  };
}
