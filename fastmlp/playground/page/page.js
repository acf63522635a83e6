/**
 * The playground, written against anywidget's front-end interface (AFM): all that it
 * knows of the world is `model` and `el`.
 *
 * `model.send` carries the messages to the server, "msg:custom" those from it; a frame
 * is `{ type: "frame" }` with one buffer. Two values are read: `lesson`, the state as
 * text, which the page also sets, and `downloads`, addresses by format.
 *
 * The files in reading order: `logic` and `drawing` (numbers and canvases), `dom`,
 * `controls` (the settings), `network`, `plane`, `charts`, `code` (parts of the page),
 * this one, `host` (the page by itself, over a WebSocket).
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
  toggled,
  unitPlace,
} from "./logic.js";
import { createNetwork } from "./network.js";
import { createPlane } from "./plane.js";

const BUDGET = 20; // milliseconds of training per frame
const SPOKEN_EVERY = 5000; // milliseconds between two reports to screen readers
const CALM = 500; // milliseconds between frames for those who want less motion
const PATIENCE = 1500; // milliseconds after which a frame that takes long is explained
const LARGEST_CSV = 1_000_000; // characters

const SPEEDS = [
  { name: "slow", epochs: 1, pause: 500 },
  { name: "1 epoch a frame", epochs: 1, pause: 0 },
  { name: "5 epochs a frame", epochs: 5, pause: 0 },
  { name: "20 epochs a frame", epochs: 20, pause: 0 },
  { name: "as many as fit", epochs: 1000, pause: 0 },
];

const DATA_FIELDS = {
  problem: "choice",
  data: "choice",
  n_points: "slider",
  noise: "slider",
  test_share: "slider",
};
const NETWORK_FIELDS = ["init", "random_state"];
const DRAWN = ["features", "hidden_layer_sizes", "activation"];

const button = (text, click) => h("button", { type: "button", click }, text);

function render({ model, el }) {
  el.classList.add("fastmlp-playground");
  el.replaceChildren(h("p.connecting", { role: "status" }, "Connecting …"));
  let lesson = null;
  const receive = (message, buffers = []) => {
    if (message.type === "options") lesson = createLesson(model, el, message);
    else lesson.take(message, buffers);
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

/** Build the page and run its loop; `take` gets the server's messages. */
function createLesson(model, el, { options, state: first }) {
  let state = first;
  let points = new Float32Array(0);
  let outputs = ["output"];
  let pinned = null; // the hidden unit shown large, by a click
  let pointed = null; // the one under the pointer

  // The loop: the next frame is asked for when the server has answered everything.
  let playing = false;
  let wanted = 0; // epochs that Step asks for
  let stale = true; // what is shown is out of date
  let unanswered = 0;
  let scheduled = false;
  let asked = 0;
  let askedUnit = null;
  let received = null; // a frame that is not painted yet
  let spoke = 0;

  const send = (message) => {
    unanswered += 1;
    model.send(message);
  };
  // What has been asked for: a second click may come before the answer to the first.
  let desired = first;
  const set = (partial) => {
    desired = { ...desired, ...partial };
    send({ type: "set", state: partial });
  };
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
  const tell = (text, kind = "problem") => {
    if (notice.textContent !== text) notice.textContent = text;
    notice.classList.toggle("problem", kind === "problem");
  };
  let explanation = null;
  const explain = () =>
    tell("Kernels for these settings are compiled: this happens once.", "news");

  const play = button("Play", () => setPlaying(!playing));
  play.classList.add("play");
  const speed = h("select", { "aria-label": "speed" });
  SPEEDS.forEach(({ name }, i) => speed.append(h("option", { value: i }, name)));
  speed.value = 1;
  const numbers = Object.fromEntries(
    ["Epoch", "Training loss", "Test loss", "Training score", "Test score"].map(
      (name) => [name, { label: h("dt", {}, name), value: h("dd", {}, "–") }],
    ),
  );
  const links = Object.entries(model.get("downloads") ?? {}).map(([name, href]) =>
    h(
      "a.download",
      { href, target: "_blank", title: `Download the network as ${name}` },
      name,
    ),
  );

  const hidden = hiddenFields(model.get("lesson") ?? "");
  const controls = Object.fromEntries(
    Object.entries(options)
      .filter(([field]) => !DRAWN.includes(field))
      .map(([field, option]) => [
        field,
        control(field, option, set, DATA_FIELDS[field]),
      ]),
  );
  const visible = (fields) =>
    fields
      .filter((field) => controls[field] && !hidden.includes(field))
      .map((f) => controls[f].element);
  const elsewhere = [...Object.keys(DATA_FIELDS), ...NETWORK_FIELDS, "data_seed"];
  const settings = Object.keys(controls).filter((field) => !elsewhere.includes(field));

  const actions = {
    toggleFeature(feature) {
      const features = toggled(options.features.values, desired.features, feature);
      if (features.length) set({ features });
    },
    setActivation: (layer, name) =>
      set({ activation: desired.activation.with(layer, name) }),
    changeLayers: (change) => set(changeLayers(desired, change)),
    changeUnits: (layer, change) => set(changeUnits(desired, layer, change)),
    preview(unit) {
      pointed = unit;
      refresh();
    },
    pin(unit) {
      pinned = pinned === unit ? null : unit;
      network.mark(pinned);
      refresh();
    },
    edit: (layer, row, column, value) =>
      send({ type: "edit", layer, row, column, value }),
  };
  const network = createNetwork(options, actions, visible(NETWORK_FIELDS));

  const file = h("input", {
    type: "file",
    accept: ".csv,text/csv,text/plain",
    change: readFile,
  });
  const count = h("p.count");
  const data = h(
    "section.panel.data-panel",
    { "aria-label": "Data" },
    h("h2", {}, "Data"),
    ...visible(Object.keys(DATA_FIELDS)),
    count,
    button("New data", () => send({ type: "new_data" })),
    h(
      "label.file",
      { title: "two columns of numbers and a label or a number" },
      "Own CSV file",
      file,
    ),
  );

  el.replaceChildren(
    h(
      "header",
      {},
      h("h1", {}, "fastmlp playground"),
      h("div.run", {}, play, button("Step", step), button("Reset", reset), speed),
      h(
        "dl.numbers",
        {},
        ...Object.values(numbers).map(({ label, value }) => h("div", {}, label, value)),
      ),
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
    if (!playing) spoke = 0;
    wake();
  }

  function stopWith(text, kind) {
    tell(text, kind);
    setPlaying(false);
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
    if (!unanswered) {
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
    [wanted, stale, askedUnit] = [0, false, shown()];
    explanation = setTimeout(explain, PATIENCE);
    send({
      type: "frame",
      epochs,
      budget: BUDGET,
      unit: askedUnit,
      view: view.request(),
    });
  }

  function paint(frame) {
    outputs = outputNames(frame.classes, outputCount(state, frame));
    network.update(state, outputs);
    network.paint(frame);
    plane.paint(frame, namedUnit(frame));
    curves.paint();
    view.paint(frame, points);
    histograms.paint(frame);
    paintNumbers(frame);
  }

  /** Return name and scale of the unit that a frame shows instead of the output. */
  function namedUnit(frame) {
    if (frame.unit === null) return null;
    const { layer, unit } = unitPlace(state.hidden_layer_sizes, frame.unit);
    const scale = frame.arrays.unit_scale.data[frame.unit];
    return { name: `layer ${layer + 1} unit ${unit + 1}`, scale };
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
    Object.values(controls).forEach((one) => one.update(desired));
    network.update(state, outputs);
    view.update(state.hidden_layer_sizes);
    const units = state.hidden_layer_sizes.reduce((sum, n) => sum + n, 0);
    pointed = null;
    if (pinned >= units) pinned = null;
    network.mark(pinned);
  }

  const answers = {
    state(message) {
      received = null; // a frame of the network before the change
      if (message.restarted) curves.clear();
      tell("");
      showState();
      const hide = hidden.length ? `&hide=${hidden}` : "";
      model.set("lesson", encodeLesson(state) + hide);
      model.save_changes();
      refresh();
    },

    frame(message, [view]) {
      if (!notice.classList.contains("problem")) tell("", "news");
      received = { ...decodeFrame(view), unit: askedUnit };
      const { points: moved, curves: added } = received.arrays;
      if (moved) {
        points = moved.data;
        count.textContent = `${moved.shape[0]} points`;
        plane.setPoints(points);
      }
      curves.add(added.data, received.epoch);
      if (received.diverged) stopWith(received.diverged);
      else if (received.converged && playing)
        stopWith("The solver has found a minimum.", "news");
      wake();
    },

    error(message) {
      tell(message.message);
      showState();
      wake();
    },

    code(message) {
      code.show(message.text);
      wake();
    },

    closed() {
      scheduled = true; // no further tick
      stopWith(
        "The connection to fastmlp is lost. Start it again and open its new address.",
      );
    },
  };

  showState();
  follow();
  refresh();

  return {
    follow,

    take(message, buffers) {
      unanswered -= 1;
      clearTimeout(explanation);
      if (message.type === "state") ({ state } = message);
      if (!unanswered) desired = state;
      answers[message.type](message, buffers);
    },

    stop() {
      scheduled = true; // no further tick
    },
  };
}
