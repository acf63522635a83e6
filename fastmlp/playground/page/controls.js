/** The settings' controls, made from the server's options. */

import { h, newId } from "./dom.js";
import { applies, choices } from "./logic.js";

const readable = (value) => value.replaceAll("_", " ");

function choice(option) {
  const select = h("select");
  let values = [];
  const offer = (state) => {
    const next = choices(option, state);
    if (String(next) === String(values)) return;
    values = next;
    select.replaceChildren(
      ...values.map((value) => h("option", { value }, readable(value))),
    );
  };
  return {
    element: select,
    offer,
    read: () => select.value,
    write: (v) => (select.value = v),
  };
}

/** A number; the option's values are offered beside it. */
function number({ kind, values, minimum, maximum }) {
  const step = kind === "integer" ? "1" : "any";
  const input = h("input", { type: "number", step, min: minimum, max: maximum });
  const parts = [input];
  if (values) {
    const list = h(
      "datalist",
      { id: newId() },
      ...values.map((value) => h("option", { value })),
    );
    input.setAttribute("list", list.id);
    parts.push(list);
  }
  // An empty field is null, of which the server says what is wrong.
  const read = () => (input.value === "" ? null : Number(input.value));
  return { element: input, parts, read, write: (value) => (input.value = value) };
}

function slider({ kind, minimum, maximum }) {
  const step = kind === "integer" ? 10 : 0.05;
  const input = h("input", { type: "range", min: minimum, max: maximum, step });
  const output = h("output");
  const show = () => (output.textContent = input.value);
  input.addEventListener("input", show);
  const write = (value) => {
    input.value = value;
    show();
  };
  return {
    element: input,
    parts: [input, output],
    read: () => Number(input.value),
    write,
  };
}

const KINDS = { choice, number, integer: number, slider };

/**
 * Return a labelled control of one setting.
 *
 * @param {string} field
 * @param {object} option the server's: label, kind, values, minimum, maximum, applies
 * @param {(partial: object) => void} set
 * @param {string} [kind] "slider" for a number within narrow bounds
 * @returns {{ element: HTMLElement, update: (state: object) => void }}
 */
export function control(field, option, set, kind = option.kind) {
  const { element: input, parts = [input], offer, read, write } = KINDS[kind](option);
  input.id = newId();
  input.name = field;
  const label = h("label", { for: input.id, title: option.label }, option.label);
  // What is being typed outlives answers to earlier changes.
  let typing = false;
  input.addEventListener("input", () => (typing = true));
  input.addEventListener("blur", () => (typing = false));
  input.addEventListener("change", () => {
    typing = false;
    set({ [field]: read() });
  });
  return {
    element: h(`div.field.${kind}`, {}, label, ...parts),
    update(state) {
      offer?.(state);
      if (!typing && read() !== state[field]) write(state[field]);
      input.disabled = !applies(option, state);
    },
  };
}
