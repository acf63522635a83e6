/** The stand-alone page: anywidget's `model` over the server's WebSocket. */

import playground from "./page.js";

/**
 * Return an AFM model.
 *
 * @param {WebSocket} socket text messages are JSON, binary ones are frames
 * @param {object} values what `get` returns
 * @param {(values: object) => void} save called by `save_changes`
 */
export function createModel(socket, values, save) {
  const listeners = {};
  const emit = (event, ...parts) => {
    for (const listener of [...(listeners[event] ?? [])]) listener(...parts);
  };
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") emit("msg:custom", JSON.parse(data), []);
    else emit("msg:custom", { type: "frame" }, [new DataView(data)]);
  });
  socket.addEventListener("close", () => emit("msg:custom", { type: "closed" }, []));
  return {
    get: (name) => values[name],
    set(name, value) {
      values[name] = value;
    },
    save_changes: () => save(values),
    send: (content) => socket.send(JSON.stringify(content)),
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    off(event, listener) {
      listeners[event] = (listeners[event] ?? []).filter((one) => one !== listener);
    },
    emit,
  };
}

function start() {
  const token = new URLSearchParams(location.search).get("token");
  const query = `?token=${encodeURIComponent(token)}`;
  const socket = new WebSocket(`ws://${location.host}/socket${query}`);
  const lesson = () => location.hash.slice(1);
  const downloads = { ONNX: `/model.onnx${query}`, pickle: `/model.pickle${query}` };
  const values = { lesson: lesson(), downloads };
  const model = createModel(socket, values, (saved) => {
    history.replaceState(null, "", `#${saved.lesson}`);
  });
  window.addEventListener("hashchange", () => {
    model.set("lesson", lesson());
    model.emit("change:lesson");
  });
  playground.render({ model, el: document.querySelector("main") });
}

if (globalThis.document) start();
