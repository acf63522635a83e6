/** "Show me the code": the program that makes this network, to read and to copy. */

import { h } from "./dom.js";

/** @param {() => void} ask asks the server for the program */
export function createCodeDialog(ask) {
  const button = h(
    "button",
    { type: "button", title: "Show me the code", click: ask },
    "Code",
  );
  const text = h("code");
  const copied = h("output", { "aria-live": "polite" });
  const copy = async () => {
    await navigator.clipboard.writeText(text.textContent);
    copied.textContent = "copied";
  };
  const element = h(
    "dialog.code",
    { "aria-label": "the program that makes this network" },
    h("pre", { tabindex: 0 }, text),
    h(
      "form",
      { method: "dialog" },
      h("button", { type: "button", click: copy }, "Copy"),
      h("button", { autofocus: true }, "Close"),
      copied,
    ),
  );
  return {
    button,
    element,
    show(program) {
      text.textContent = program;
      copied.textContent = "";
      element.showModal();
    },
  };
}
