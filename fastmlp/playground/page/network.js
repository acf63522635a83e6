/** The network: features, layers, units' pictures, weights that can be edited. */

import { css, edgeWidth, paintPicture, pixels, signed } from "./drawing.js";
import { h, newId, roving } from "./dom.js";
import {
  featurePicture,
  format,
  percent,
  unitIndex,
  unitPlace,
  weightBlocks,
  weightIndex,
} from "./logic.js";

const PICTURE = 32;
const picture = () =>
  h("canvas", { width: PICTURE, height: PICTURE, "aria-hidden": "true" });

/** A − and a + around a count. */
function stepper(name, count, step) {
  const button = (text, what, change) =>
    h(
      "button",
      {
        type: "button",
        name: `${what} ${name}`,
        "aria-label": `${what} ${name}`,
        click: () => step(change),
      },
      text,
    );
  const [less, more] = [button("−", "fewer", -1), button("+", "more", 1)];
  return h("div.stepper", {}, less, h("span", {}, String(count)), more);
}

/**
 * @param {object} options the server's table of the settings
 * @param {object} actions
 * @param {(feature: string) => void} actions.toggleFeature
 * @param {(layer: number, name: string) => void} actions.setActivation
 * @param {(change: number) => void} actions.changeLayers
 * @param {(layer: number, change: number) => void} actions.changeUnits
 * @param {(unit: number|null) => void} actions.preview the unit under the pointer
 * @param {(unit: number) => void} actions.pin the unit that was clicked
 * @param {(layer: number, row: number, column: number, value: number) => void}
 *   actions.edit row -1 is the bias
 * @param {HTMLElement[]} fields controls of settings that belong to the network
 */
export function createNetwork(options, actions, fields) {
  const columns = h("div.columns");
  const edges = h("svg.edges", { role: "group", "aria-label": "weights and biases" });
  const readout = h("output.readout", { "aria-live": "off" });
  const box = h("div.network", {}, edges, columns);
  const layerCount = h("div.layer-count");
  const editor = createEditor(actions.edit);
  const heading = h("h2", {}, "Network");
  const element = h(
    "section.panel.network-panel",
    { "aria-label": "Network" },
    h("div.panel-head", {}, heading, layerCount, ...fields, readout),
    h("div.scroll", {}, box),
    editor.element,
  );

  let key = null;
  let sizes = [];
  let names = [];
  let nodes = []; // per layer, from the features in use to the outputs
  let units = [];
  let feet = [];
  let weights = []; // { layer, row, column, line, hit }
  let values = null;
  let described = null; // the weight under the pointer, or with the focus

  const valueOf = ({ layer, row, column }) =>
    values?.[weightIndex(weightBlocks(sizes)[layer], row, column)] ?? NaN;

  const describe = (weight) => {
    const { layer, row, column } = weight;
    const to = names[layer + 1][column];
    const name = row < 0 ? `bias of ${to}` : `weight ${names[layer][row]} → ${to}`;
    return `${name}: ${format(valueOf(weight))}`;
  };

  const show = (weight) => {
    described = weight;
    const text = weight ? describe(weight) : "";
    if (readout.textContent !== text) readout.textContent = text;
  };
  const nameIt = (weight) => weight.hit.setAttribute("aria-label", describe(weight));
  const edit = (weight) => editor.open(weight, describe(weight), valueOf(weight));

  function build(state, outputs) {
    const hidden = state.hidden_layer_sizes;
    sizes = [state.features.length, ...hidden, outputs.length];
    names = [
      state.features,
      ...hidden.map((n, l) =>
        Array.from({ length: n }, (_, i) => `layer ${l + 1} unit ${i + 1}`),
      ),
      outputs,
    ];
    const focused =
      element.contains(document.activeElement) && document.activeElement.name;
    layerCount.replaceChildren(
      "Hidden layers",
      stepper("hidden layers", hidden.length, actions.changeLayers),
    );
    columns.replaceChildren(
      featureColumn(state),
      ...hidden.map((_, l) => hiddenColumn(state, l)),
    );
    columns.append(outputColumn(outputs));
    columns.style.setProperty("--columns", hidden.length + 2);
    nodes = [...columns.children].map((column) => [
      ...column.querySelectorAll(".node.used"),
    ]);
    units = [...columns.querySelectorAll(".unit")];
    feet = [...columns.querySelectorAll(".foot.hidden-layer")];
    if (units.length) {
      roving(units, (i, pressed) => neighbour(hidden, i, pressed));
    }
    buildWeights();
    if (focused) element.querySelector(`[name="${focused}"]`)?.focus();
  }

  function featureColumn(state) {
    const buttons = options.features.values.map((feature) => {
      const used = state.features.includes(feature);
      const canvas = picture();
      paintPicture(canvas, pixels(featurePicture(feature, PICTURE)));
      return h(
        `button.node.feature${used ? ".used" : ""}`,
        {
          type: "button",
          name: `feature-${feature}`,
          "aria-pressed": String(used),
          "aria-label": `feature ${feature}`,
          click: () => actions.toggleFeature(feature),
        },
        h("span", {}, feature),
        canvas,
      );
    });
    return h("div.column", {}, h("div.head", {}, h("h3", {}, "Features")), ...buttons);
  }

  function hiddenColumn(state, layer) {
    const hidden = state.hidden_layer_sizes;
    const select = h("select", {
      name: `activation-${layer}`,
      "aria-label": `activation of layer ${layer + 1}`,
      change: () => actions.setActivation(layer, select.value),
    });
    for (const name of options.activation.values)
      select.append(h("option", { value: name }, name));
    select.value = state.activation[layer];
    const buttons = Array.from({ length: hidden[layer] }, (_, i) => {
      const unit = unitIndex(hidden, layer, i);
      return h(
        "button.node.unit.used",
        {
          type: "button",
          "aria-label": `${names[layer + 1][i]}: show its output large`,
          "aria-pressed": "false",
          pointerenter: () => actions.preview(unit),
          pointerleave: () => actions.preview(null),
          click: () => actions.pin(unit),
        },
        picture(),
      );
    });
    const step = (change) => actions.changeUnits(layer, change);
    const head = h(
      "div.head",
      {},
      h("h3", {}, `Layer ${layer + 1}`),
      stepper(`units in layer ${layer + 1}`, hidden[layer], step),
      select,
    );
    return h("div.column", {}, head, ...buttons, h("div.foot.hidden-layer"));
  }

  function outputColumn(outputs) {
    const labels = outputs.map((name) => h("div.node.result.used", {}, name));
    return h("div.column", {}, h("div.head", {}, h("h3", {}, "Output")), ...labels);
  }

  function buildWeights() {
    edges.replaceChildren();
    weights = [];
    weightBlocks(sizes).forEach(({ rows, columns: n }, layer) => {
      for (let column = 0; column < n; column++) {
        for (let row = -1; row < rows; row++) {
          const bias = row < 0;
          const line = h(bias ? "rect.bias" : "path.edge");
          const hit = bias ? line : h("path.hit");
          const weight = { layer, row, column, line, hit };
          hit.setAttribute("role", "button");
          hit.addEventListener("focus", () => {
            nameIt(weight);
            show(weight);
          });
          hit.addEventListener("blur", () => show(null));
          hit.addEventListener("pointerenter", () => show(weight));
          hit.addEventListener("pointerleave", () => show(null));
          hit.addEventListener("click", () => edit(weight));
          hit.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            edit(weight);
          });
          nameIt(weight);
          weights.push(weight);
        }
      }
    });
    // Biases last: they lie on top.
    const biases = weights.filter(({ row }) => row < 0);
    const others = weights.filter(({ row }) => row >= 0);
    edges.append(
      ...others.map(({ line }) => line),
      ...others.map(({ hit }) => hit),
      ...biases.map(({ line }) => line),
    );
    const strides = weights.map(({ layer }) => sizes[layer] + 1);
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    roving(
      weights.map(({ hit }) => hit),
      (i, pressed) =>
        i + (moves[pressed] ?? (pressed === "ArrowRight" ? 1 : -1) * strides[i]),
    );
    show(null);
    place();
  }

  /** Put the edges where the browser has laid out the nodes. */
  function place() {
    const origin = box.getBoundingClientRect();
    edges.setAttribute("width", box.clientWidth);
    edges.setAttribute("height", box.clientHeight);
    const boxes = nodes.map((layer) =>
      layer.map((node) => node.getBoundingClientRect()),
    );
    for (const { layer, row, column, line, hit } of weights) {
      const to = boxes[layer + 1][column];
      const [x1, y1] = [to.left - origin.left, (to.top + to.bottom) / 2 - origin.top];
      if (row < 0) {
        const bottom = to.bottom - origin.top;
        for (const [name, value] of Object.entries({
          x: x1 - 5,
          y: bottom - 7,
          width: 9,
          height: 9,
        })) {
          line.setAttribute(name, value);
        }
        continue;
      }
      const from = boxes[layer][row];
      const [x0, y0] = [
        from.right - origin.left,
        (from.top + from.bottom) / 2 - origin.top,
      ];
      const middle = (x0 + x1) / 2;
      const d = `M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}`;
      line.setAttribute("d", d);
      hit.setAttribute("d", d);
    }
  }

  new ResizeObserver(place).observe(box);

  return {
    element,

    /** Show the structure of a state; `outputs` are the names of the output units. */
    update(state, outputs) {
      const { features, hidden_layer_sizes, activation } = state;
      const next = JSON.stringify([features, hidden_layer_sizes, activation, outputs]);
      if (next === key) return;
      key = next;
      values = null;
      build(state, outputs);
    },

    paint(frame) {
      const { units: pictures, weights: flat } = frame.arrays;
      values = flat.data;
      const n = PICTURE * PICTURE;
      units.forEach((button, i) => {
        paintPicture(
          button.firstChild,
          pixels(pictures.data.subarray(i * n, (i + 1) * n)),
        );
      });
      const blocks = weightBlocks(sizes);
      for (const { layer, row, column, line } of weights) {
        const value = values[weightIndex(blocks[layer], row, column)];
        const colour = css(signed(0.35 * Math.sign(value) + 0.5 * value));
        if (row < 0) line.setAttribute("fill", colour);
        else {
          line.setAttribute("stroke", colour);
          line.setAttribute("stroke-width", edgeWidth(value));
        }
      }
      show(described);
      feet.forEach((foot, l) => {
        const { dead, saturated } = frame.layers[l];
        const text = `dead ${percent(dead)}\nsaturated ${percent(saturated)}`;
        if (foot.textContent !== text) foot.textContent = text;
      });
    },

    /** Mark the unit that is shown large. */
    mark(unit) {
      units.forEach((button, i) =>
        button.setAttribute("aria-pressed", String(i === unit)),
      );
    },
  };
}

/** The unit that an arrow key leads to. */
function neighbour(hidden, index, pressed) {
  const { layer, unit } = unitPlace(hidden, index);
  if (pressed === "ArrowUp") return unit > 0 ? index - 1 : index;
  if (pressed === "ArrowDown") return unit + 1 < hidden[layer] ? index + 1 : index;
  const beside = layer + (pressed === "ArrowRight" ? 1 : -1);
  if (!(beside in hidden)) return index;
  return unitIndex(hidden, beside, Math.min(unit, hidden[beside] - 1));
}

/** A small dialog for one weight. */
function createEditor(edit) {
  const input = h("input", {
    type: "number",
    step: "any",
    required: true,
    id: newId(),
  });
  const label = h("label", { for: input.id });
  const element = h(
    "dialog.editor",
    { "aria-label": "edit a weight" },
    h(
      "form",
      { method: "dialog" },
      label,
      input,
      h("button", { value: "set" }, "Set"),
      h("button", { value: "", formnovalidate: true }, "Cancel"),
    ),
  );
  let weight = null;
  element.addEventListener("close", () => {
    if (element.returnValue !== "set") return;
    edit(weight.layer, weight.row, weight.column, Number(input.value));
  });
  return {
    element,
    open(next, name, value) {
      weight = next;
      label.textContent = name.slice(0, name.lastIndexOf(":"));
      input.value = Number.isFinite(value) ? Number(value.toPrecision(6)) : 0;
      element.returnValue = "";
      element.showModal();
      input.select();
    },
  };
}
