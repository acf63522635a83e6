/**
 * The playground, written against anywidget's front-end interface (AFM): all that it
 * knows of the world is `model` and `el`.
 *
 * `model.send` carries the messages to the server, "msg:custom" those from it; a frame is
 * `{ type: "frame" }` with one buffer. Two values are read: `lesson`, the state as text,
 * which the page also sets, and `downloads`, addresses by format.
 */

import { createCurves, createHistograms, createView } from "./charts.js";
import { createCodeDialog } from "./code.js";
import { control } from "./controls.js";
import { h } from "./dom.js";
import {
  changeLayers,
  changeUnits,
  decodeFrame,
  decodeLesson,
  encodeLesson,
  format,
  hiddenFields,
  outputCount,
  outputNames,
  unitPlace,
} from "./logic.js";
import { createNetwork } from "./network.js";
import { createPlane } from "./plane.js";

const BUDGET = 20; // milliseconds of training per frame
const SPOKEN_EVERY = 5000; // milliseconds between two reports to screen readers
const CALM = 500; // milliseconds between frames for those who want less motion
const LARGEST_CSV = 1_000_000; // characters

const SPEEDS = [
  { name: "slow", epochs: 1, pause: 500 },
  { name: "1 epoch a frame", epochs: 1, pause: 0 },
  { name: "5 epochs a frame", epochs: 5, pause: 0 },
  { name: "20 epochs a frame", epochs: 20, pause: 0 },
  { name: "as many as fit", epochs: 1000, pause: 0 },
];

const DATA_FIELDS = { problem: "choice", data: "choice", n_points: "slider", noise: "slider", test_share: "slider" };
const NETWORK_FIELDS = ["init", "random_state"];
const DRAWN = ["features", "hidden_layer_sizes", "activation"];

const button = (text, click) => {
  const element = h("button", { type: "button", click });
  element.textContent = text;
  return element;
};

function render({ model, el }) {
  el.classList.add("fastmlp-playground");
  el.replaceChildren(h("p.connecting", { role: "status" }, "Connecting …"));
  let lesson = null;
  const receive = (message, buffers = []) => {
    if (message.type === "options") lesson = createLesson(model, el, message);
    else lesson?.[message.type]?.(message, buffers);
  };
  const follow = () => lesson?.follow();
  model.on("msg:custom", receive);
  model.on("change:lesson", follow);
  return () => {
    lesson?.stop();
    model.off("msg:custom", receive);
    model.off("change:lesson", follow);
  };
}

export default { render };

/** Build the page; the functions returned take the server's messages by their type. */
function createLesson(model, el, { options, state: first }) {
  let state = first;
  let points = new Float32Array(0);
  let outputs = ["output"];
  let pinned = null; // the hidden unit shown large, by a click
  let pointed = null; // the one under the pointer

  // The loop: at most one request is under way.
  let playing = false;
  let wanted = 0; // epochs that Step asks for
  let stale = true; // what is shown is out of date
  let waiting = false;
  let scheduled = false;
  let asked = 0;
  let received = null;
  let spoke = 0;

  const send = (message) => model.send(message);
  const set = (partial) => send({ type: "set", state: partial });
  const refresh = () => {
    stale = true;
    wake();
  };

  const shown = () => pointed ?? pinned;
  const curves = createCurves();
  const view = createView(refresh);
  const histograms = createHistograms();
  const plane = createPlane((changes) => send({ type: "points", ...changes }));
  const code = createCodeDialog(() => send({ type: "code" }));
  const notice = h("p.notice", { role: "alert" });
  const spoken = h("p.spoken", { role: "status" });
  const tell = (text) => {
    if (notice.textContent !== text) notice.textContent = text;
  };

  const play = button("Play", () => setPlaying(!playing));
  play.classList.add("play");
  const speed = h("select", { "aria-label": "speed" });
  SPEEDS.forEach(({ name }, i) => speed.append(h("option", { value: i }, name)));
  speed.value = 1;
  const numbers = Object.fromEntries(
    ["Epoch", "Training loss", "Test loss", "Training score", "Test score"].map((name) => [
      name,
      { label: h("dt", {}, name), value: h("dd", {}, "–") },
    ]),
  );
  const links = Object.entries(model.get("downloads") ?? {}).map(([name, href]) =>
    h("a.download", { href, download: "", title: `Download the network as ${name}` }, name),
  );

  const hidden = hiddenFields(model.get("lesson") ?? "");
  const controls = Object.fromEntries(
    Object.entries(options)
      .filter(([field]) => !DRAWN.includes(field))
      .map(([field, option]) => [field, control(field, option, set, DATA_FIELDS[field])]),
  );
  const visible = (fields) =>
    fields.filter((field) => controls[field] && !hidden.includes(field)).map((f) => controls[f].element);
  const elsewhere = [...Object.keys(DATA_FIELDS), ...NETWORK_FIELDS, "data_seed"];
  const settings = Object.keys(controls).filter((field) => !elsewhere.includes(field));

  const actions = {
    set,
    changeLayers: (change) => set(changeLayers(state, change)),
    changeUnits: (layer, change) => set(changeUnits(state, layer, change)),
    preview(unit) {
      pointed = unit;
      refresh();
    },
    pin(unit) {
      pinned = pinned === unit ? null : unit;
      network.mark(pinned);
      refresh();
    },
    edit: (layer, row, column, value) => {
      send({ type: "edit", layer, row, column, value });
      refresh();
    },
  };
  const network = createNetwork(options, actions, visible(NETWORK_FIELDS));

  const file = h("input", { type: "file", accept: ".csv,text/csv,text/plain", change: readFile });
  const data = h(
    "section.panel.data-panel",
    { "aria-label": "Data" },
    h("h2", {}, "Data"),
    ...visible(Object.keys(DATA_FIELDS)),
    button("New data", () => send({ type: "new_data" })),
    h("label.file", { title: "two columns of numbers and a label or a number" }, "Own CSV file", file),
  );

  el.replaceChildren(
    h(
      "header",
      {},
      h("h1", {}, "fastmlp playground"),
      h("div.run", {}, play, button("Step", step), button("Reset", reset), speed),
      h("dl.numbers", {}, ...Object.values(numbers).map(({ label, value }) => h("div", {}, label, value))),
      h("div.take", {}, code.button, ...links),
    ),
    h("section.settings", { "aria-label": "Training" }, ...visible(settings)),
    notice,
    h("div.main", {}, data, network.element, plane.element),
    h("div.more", {}, curves.element, view.element, histograms.element),
    spoken,
    code.element,
  );

  function setPlaying(value) {
    playing = value;
    play.textContent = playing ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(playing));
    if (!playing) spoke = 0;
    wake();
  }

  function step() {
    setPlaying(false);
    wanted = 1;
    wake();
  }

  function reset() {
    setPlaying(false);
    send({ type: "reset" });
  }

  async function readFile() {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > LARGEST_CSV) tell(`${chosen.name} has more than 1 MB.`);
    else send({ type: "csv", text: await chosen.text() });
    file.value = "";
  }

  /** Take the lesson of the URL. */
  function follow() {
    const partial = decodeLesson(model.get("lesson") ?? "", options);
    if (Object.keys(partial).length) set(partial);
  }

  function wake() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(tick);
  }

  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  /** Ask for the next frame, then paint the last, while the server trains. */
  function tick(now) {
    scheduled = false;
    if (!waiting) {
      const { epochs, pause } = SPEEDS[speed.value];
      const due = playing && now - asked >= Math.max(pause, calm.matches ? CALM : 0);
      if (due || wanted || stale) ask(due ? epochs : wanted, now);
      else if (playing) wake();
    }
    const frame = received;
    received = null;
    if (frame) paint(frame);
  }

  function ask(epochs, now) {
    if (epochs) asked = now;
    [waiting, wanted, stale] = [true, 0, false];
    send({ type: "frame", epochs, budget: BUDGET, unit: shown(), view: view.request() });
  }

  function paint(frame) {
    const n = outputCount(state, frame);
    // A frame of the network before the last change.
    if (!n) return refresh();
    outputs = outputNames(frame.classes, n);
    network.update(state, outputs);
    network.paint(frame);
    plane.paint(frame, shownUnit(frame));
    curves.paint();
    view.paint(frame, points);
    histograms.paint(frame, state.hidden_layer_sizes.length);
    paintNumbers(frame);
  }

  function shownUnit(frame) {
    const unit = frame.unit;
    if (unit === null || unit === undefined) return null;
    const place = unitPlace(state.hidden_layer_sizes, unit);
    return {
      name: `layer ${place.layer + 1} unit ${place.unit + 1}`,
      scale: frame.arrays.unit_scale.data[unit],
    };
  }

  function paintNumbers(frame) {
    const score = frame.score_name;
    numbers["Training score"].label.textContent = `Training ${score}`;
    numbers["Test score"].label.textContent = `Test ${score}`;
    numbers.Epoch.value.textContent = frame.epoch;
    numbers["Training loss"].value.textContent = format(frame.train_loss);
    numbers["Test loss"].value.textContent = format(frame.test_loss);
    numbers["Training score"].value.textContent = format(frame.train_score);
    numbers["Test score"].value.textContent = format(frame.test_score);
    const now = performance.now();
    if (now - spoke < SPOKEN_EVERY) return;
    spoke = now;
    spoken.textContent =
      `epoch ${frame.epoch}, training loss ${format(frame.train_loss)}, ` +
      `test loss ${format(frame.test_loss)}`;
  }

  function showState() {
    Object.values(controls).forEach((one) => one.update(state));
    network.update(state, outputs);
    view.update(state.hidden_layer_sizes);
    const units = state.hidden_layer_sizes.reduce((sum, n) => sum + n, 0);
    pointed = null;
    if (pinned >= units) pinned = null;
    network.mark(pinned);
  }

  showState();
  follow();
  refresh();

  return {
    follow,

    stop() {
      playing = false;
      scheduled = true; // no further tick
    },

    state(message) {
      ({ state } = message);
      if (message.restarted) curves.clear();
      tell("");
      showState();
      const hide = hidden.length ? `&hide=${hidden}` : "";
      model.set("lesson", encodeLesson(state) + hide);
      model.save_changes();
      refresh();
    },

    frame(message, [view]) {
      waiting = false;
      received = decodeFrame(view);
      if (received.arrays.points) {
        points = received.arrays.points.data.slice();
        plane.setPoints(points);
      }
      if (received.epoch < curves.epoch) curves.clear();
      curves.add(received.arrays.curves.data, received.epoch);
      if (received.diverged) {
        tell(received.diverged);
        setPlaying(false);
      }
      wake();
    },

    error(message) {
      waiting = false;
      tell(message.message);
      controls[message.field]?.complain();
      wake();
    },

    code: (message) => code.show(message.text),

    closed() {
      setPlaying(false);
      tell("The connection to fastmlp is lost. Start it again and open its new address.");
    },
  };
}
