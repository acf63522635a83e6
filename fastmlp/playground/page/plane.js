/** The output over the plane, with points that are added, moved and removed. */

import { clear, paintPicture, paintPoints, pixels } from "./drawing.js";
import { h, newId } from "./dom.js";
import {
  clampToPlane,
  format,
  nearestPoint,
  planeIndex,
  toPixel,
  toPlane,
} from "./logic.js";

const SIDE = 100; // pixels of the server's picture
const REACH = 0.4; // how far from a point the pointer and the cursor take hold of it
const STEP = 0.25; // of the arrow keys

const HELP =
  "Click adds a point, dragging moves one, a right click removes one. " +
  "Keys: arrows move the cursor (Shift: faster), Enter adds, Space picks up and " +
  "puts down, Delete removes.";

/**
 * @param {(message: object) => void} change sends `points` messages: add, move, remove
 */
export function createPlane(change) {
  const heading = h("h2");
  const picture = h("canvas.picture", {
    width: SIDE,
    height: SIDE,
    "aria-hidden": "true",
  });
  const overlay = h("canvas.overlay", { "aria-hidden": "true" });
  const cursor = h("div.cursor", { "aria-hidden": "true" });
  const help = h("p.help", { id: newId() }, HELP);
  const spoken = h("output.spoken", { "aria-live": "polite" });
  const readout = h("div.readout", { "aria-hidden": "true" });
  const area = h(
    "div.plane",
    {
      tabindex: 0,
      role: "application",
      "aria-label": "plane of the two inputs",
      "aria-describedby": help.id,
    },
    picture,
    overlay,
    cursor,
  );
  const axis = (name) =>
    h(
      `div.axis.${name}`,
      { "aria-hidden": "true" },
      ...["−6", "0", "6"].map((t) => h("span", {}, t)),
    );
  const legend = h("div.legend", { role: "img" });
  const checkbox = (text, checked) => {
    const box = h("input", { type: "checkbox", checked, change: () => paint() });
    return [box, h("label.check", {}, box, text)];
  };
  const [showTest, showTestLabel] = checkbox("test points", false);
  const [discrete, discreteLabel] = checkbox("discretise", false);
  const target = h("span.target");
  const element = h(
    "section.panel.plane-panel",
    { "aria-label": "Output" },
    h("div.panel-head", {}, heading, readout),
    h("div.plane-box", {}, axis("y"), area, axis("x")),
    legend,
    h("div.plane-options", {}, showTestLabel, discreteLabel, target),
    h("details", {}, h("summary", {}, "Points by mouse and keys"), help),
    spoken,
  );

  let points = new Float32Array(0);
  let frame = null;
  let shown = null; // { name, scale } of the hidden unit shown instead of the output
  let at = [0, 0];
  let held = -1;
  let targetKey = null;
  let readTarget = () => 0;

  const nClasses = () => frame?.classes.length ?? 0;

  function valueAt(x, y) {
    if (!frame) return "";
    const i = planeIndex(x, y, SIDE);
    const byte = frame.arrays.plane.data[i];
    if (shown) return format(((byte - 128) / 127) * shown.scale);
    if (frame.arrays.plane_class) {
      const name = frame.classes[frame.arrays.plane_class.data[i]];
      return `class ${name} with ${format(byte / 255)}`;
    }
    if (!nClasses()) return format((byte / 255) * 2 - 1);
    return `${format(byte / 255)} for class ${frame.classes[1]}`;
  }

  function describe() {
    const [x, y] = at;
    readout.textContent = `x ${format(x)}, y ${format(y)}: ${valueAt(x, y)}`;
  }

  function moveTo(x, y) {
    at = [clampToPlane(x), clampToPlane(y)];
    const [left, top] = toPixel(...at, 100);
    cursor.style.left = `${left}%`;
    cursor.style.top = `${top}%`;
    describe();
    if (held >= 0) paintOverlay();
  }

  const near = () => nearestPoint(points, ...at, REACH, showTest.checked);
  const add = () => change({ add: [[...at, readTarget()]] });
  const remove = () => {
    const index = near();
    if (index >= 0) change({ remove: [index] });
    return index >= 0;
  };
  const hold = (index) => {
    held = index;
    area.classList.toggle("holding", held >= 0);
    paintOverlay();
  };
  const putDown = () => {
    change({ move: [[held, ...at]] });
    points.set(at, 4 * held);
    hold(-1);
  };
  const pickUp = () => {
    hold(near());
    return held >= 0;
  };

  const place = (event) => {
    const box = area.getBoundingClientRect();
    moveTo(...toPlane(event.clientX - box.left, event.clientY - box.top, box.width));
  };
  let start = null;
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = [event.clientX, event.clientY];
    area.setPointerCapture(event.pointerId);
    place(event);
    pickUp();
  });
  area.addEventListener("pointermove", place);
  area.addEventListener("pointerup", (event) => {
    if (!start) return;
    const moved = Math.hypot(event.clientX - start[0], event.clientY - start[1]) > 4;
    start = null;
    place(event);
    if (moved && held >= 0) putDown();
    else {
      hold(-1);
      if (!moved) add();
    }
  });
  area.addEventListener("pointercancel", () => {
    start = null;
    hold(-1);
  });
  area.addEventListener("pointerleave", () => (readout.textContent = ""));
  area.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    place(event);
    remove();
  });

  const ARROWS = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, 1],
    ArrowDown: [0, -1],
  };
  area.addEventListener("keydown", (event) => {
    let say = "";
    if (event.key in ARROWS) {
      const step = event.shiftKey ? 4 * STEP : STEP;
      const [dx, dy] = ARROWS[event.key];
      moveTo(at[0] + step * dx, at[1] + step * dy);
      say = readout.textContent;
    } else if (event.key === "Enter") {
      add();
      say = "point added";
    } else if (event.key === " ") {
      if (held >= 0) {
        putDown();
        say = "point put down";
      } else say = pickUp() ? "point picked up" : "no point here";
    } else if (event.key === "Delete" || event.key === "Backspace") {
      say = remove() ? "point removed" : "no point here";
    } else if (event.key === "Escape" && held >= 0) {
      hold(-1);
    } else return;
    event.preventDefault();
    spoken.textContent = say;
  });

  function paintOverlay() {
    const { context, width } = clear(overlay);
    const shownPoints = [];
    for (let i = 0; 4 * i < points.length; i++) {
      const [px, py, value, test] = points.subarray(4 * i, 4 * i + 4);
      if (test && !showTest.checked) continue;
      const [x, y] = toPixel(...(i === held ? at : [px, py]), width);
      shownPoints.push({ x, y, target: value, test: Boolean(test) });
    }
    paintPoints(context, shownPoints, nClasses());
  }

  function paint() {
    if (!frame) return;
    const { plane, plane_class: classes } = frame.arrays;
    const kinds = shown ? null : classes?.data;
    paintPicture(picture, pixels(plane.data, kinds, nClasses(), discrete.checked));
    paintOverlay();
    paintLegend();
    if (readout.textContent) describe();
  }

  let legendKey = null;
  function paintLegend() {
    const { classes } = frame;
    const limits = shown ? [-shown.scale, shown.scale].map(format) : ["−1", "1"];
    const names = shown || !classes.length ? limits : classes.map((c) => `class ${c}`);
    const key = names.join(", ");
    if (key === legendKey) return;
    legendKey = key;
    legend.setAttribute("aria-label", `colours: ${key}`);
    const entries = names.map((name, k) =>
      h("span", {}, ...(names === limits ? [] : [marker(k)]), name),
    );
    if (names.length > 2) return legend.replaceChildren(...entries);
    const bar = h("canvas.bar", { width: 256, height: 1 });
    paintPicture(bar, pixels(Uint8Array.from({ length: 256 }, (_, i) => i)));
    legend.replaceChildren(entries[0], bar, entries[1]);
  }

  /** A point of class k. */
  function marker(k) {
    const canvas = h("canvas", { width: 16, height: 16 });
    const point = { x: 8, y: 8, target: k, test: false };
    paintPoints(canvas.getContext("2d"), [point], nClasses(), 5);
    return canvas;
  }

  /** Offer the classes, or a number, as the target of points that are added. */
  function offerTargets() {
    const key = JSON.stringify(frame.classes);
    if (key === targetKey) return;
    targetKey = key;
    const id = newId();
    const input = nClasses()
      ? h(
          "select",
          { id },
          ...frame.classes.map((name, k) => h("option", { value: k }, name)),
        )
      : h("input", { id, type: "number", min: -1, max: 1, step: 0.25, value: 1 });
    readTarget = () => Number(input.value);
    const text = nClasses() ? "add class" : "add value";
    target.replaceChildren(h("label", { for: id }, text), input);
  }

  new ResizeObserver(() => frame && paintOverlay()).observe(area);
  moveTo(0, 0);
  readout.textContent = "";

  return {
    element,

    setPoints(data) {
      points = data.slice();
      hold(-1);
    },

    /** @param {object} next a frame; @param {?{ name: string, scale: number }} unit */
    paint(next, unit) {
      frame = next;
      shown = unit;
      const title = unit ? `Output of ${unit.name}` : "Output";
      if (heading.textContent !== title) heading.textContent = title;
      offerTargets();
      paint();
    },
  };
}
