import assert from "node:assert/strict";
import { test } from "node:test";

import { createModel } from "../../../fastmlp/playground/page/host.js";

class Socket extends EventTarget {
  sent = [];
  send = (text) => this.sent.push(text);
  receive = (data) => this.dispatchEvent(Object.assign(new Event("message"), { data }));
}

test("messages go both ways", () => {
  const socket = new Socket();
  const model = createModel(socket, { lesson: "" }, () => {});
  const got = [];
  const listen = (...parts) => got.push(parts);
  model.on("msg:custom", listen);
  model.send({ type: "reset" });
  assert.deepEqual(socket.sent, ['{"type":"reset"}']);
  socket.receive('{"type":"error"}');
  socket.receive(Uint8Array.of(1, 2).buffer);
  socket.dispatchEvent(new Event("close"));
  assert.deepEqual(got[0], [{ type: "error" }, []]);
  assert.deepEqual(got[1][0], { type: "frame" });
  assert.equal(got[1][1][0].getUint8(1), 2);
  assert.deepEqual(got[2], [{ type: "closed" }, []]);
  model.off("msg:custom", listen);
  socket.receive("{}");
  assert.equal(got.length, 3);
});

test("values are saved", () => {
  const saved = [];
  const model = createModel(new Socket(), { lesson: "a=1" }, (values) =>
    saved.push({ ...values }),
  );
  assert.equal(model.get("lesson"), "a=1");
  model.set("lesson", "a=2");
  assert.deepEqual(saved, []);
  model.save_changes();
  assert.deepEqual(saved, [{ lesson: "a=2" }]);
});
