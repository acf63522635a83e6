import assert from "node:assert/strict";
import { test } from "node:test";

import * as logic from "../../../fastmlp/playground/page/logic.js";

/** Pack a frame as the server does. */
function pack(header, arrays) {
  const pad = (n) => Math.ceil(n / 8) * 8;
  const encode = (offsets) => {
    const list = arrays.map(({ name, dtype, shape }, i) => ({
      ...{ name, dtype, shape },
      offset: offsets[i],
    }));
    return new TextEncoder().encode(JSON.stringify({ ...header, arrays: list }));
  };
  // Offsets of a fixed width, so that the header's length does not depend on them.
  let begin = pad(4 + encode(arrays.map(() => 100000)).length);
  const offsets = arrays.map(({ data }) => {
    const here = begin;
    begin += pad(data.byteLength);
    return here;
  });
  const text = encode(offsets);
  const bytes = new Uint8Array(begin);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  arrays.forEach(({ data }, i) => bytes.set(new Uint8Array(data.buffer), offsets[i]));
  return bytes;
}

const ARRAYS = [
  { name: "plane", dtype: "uint8", shape: [1, 3], data: Uint8Array.of(0, 128, 255) },
  { name: "weights", dtype: "float32", shape: [2], data: Float32Array.of(0.5, -2) },
];

test("a frame's header and arrays are read", () => {
  const bytes = pack({ epoch: 7, classes: ["é"] }, ARRAYS);
  const frame = logic.decodeFrame(new DataView(bytes.buffer));
  assert.equal(frame.epoch, 7);
  assert.deepEqual(frame.classes, ["é"]);
  assert.deepEqual([...frame.arrays.plane.data], [0, 128, 255]);
  assert.deepEqual([...frame.arrays.weights.data], [0.5, -2]);
  assert.deepEqual(frame.arrays.plane.shape, [1, 3]);
});

for (const shift of [0, 3, 8]) {
  test(`a frame is read at byte ${shift} of a larger buffer`, () => {
    const bytes = pack({ epoch: 7 }, ARRAYS);
    const larger = new Uint8Array(bytes.length + shift + 5);
    larger.set(bytes, shift);
    const frame = logic.decodeFrame(new DataView(larger.buffer, shift, bytes.length));
    assert.deepEqual([...frame.arrays.weights.data], [0.5, -2]);
  });
}

const OPTIONS = {
  data: { kind: "choice", values: ["xor", "own"] },
  noise: { kind: "number", applies: { data: ["xor"] } },
  features: { kind: "list" },
  hidden_layer_sizes: { kind: "list" },
  activation: { kind: "list" },
};

const STATE = {
  data: "xor",
  noise: 0.25,
  features: ["x", "sin y", "x²"],
  hidden_layer_sizes: [4, 2],
  activation: ["tanh", "relu"],
};

test("a lesson survives the way through the address", () => {
  const hash = new URL(`http://localhost/#${logic.encodeLesson(STATE)}`).hash.slice(1);
  assert.deepEqual(logic.decodeLesson(hash, OPTIONS), STATE);
});

test("points of one's own are left out of the address", () => {
  assert.equal(
    logic.encodeLesson({ problem: "regression", data: "own" }),
    "problem=regression",
  );
});

test("a lesson may have empty lists, be partial, and have strange parts", () => {
  const empty = { hidden_layer_sizes: [], activation: [] };
  assert.deepEqual(logic.decodeLesson(logic.encodeLesson(empty), OPTIONS), empty);
  const text = "noise=0.5&unknown=1&__proto__=1&data&hide=noise,data&features=%";
  assert.deepEqual(logic.decodeLesson(text, OPTIONS), { noise: 0.5 });
  assert.deepEqual(logic.decodeLesson("", OPTIONS), {});
  assert.deepEqual(logic.hiddenFields(text), ["noise", "data"]);
  assert.deepEqual(logic.hiddenFields(""), []);
});

test("a setting applies by other settings, and choices depend on them", () => {
  assert.equal(logic.applies(OPTIONS.noise, { data: "own" }), false);
  assert.equal(logic.applies(OPTIONS.noise, { data: "xor" }), true);
  assert.equal(logic.applies(OPTIONS.data, {}), true);
  const loss = {
    values: ["a", "b"],
    values_by: { problem: { one: ["a"], two: ["b"] } },
  };
  assert.deepEqual(logic.choices(loss, { problem: "two" }), ["b"]);
  assert.deepEqual(logic.choices(OPTIONS.data, {}), ["xor", "own"]);
});

test("layers and units stay within their bounds", () => {
  const six = {
    hidden_layer_sizes: [1, 2, 3, 4, 5, 6],
    activation: Array(6).fill("relu"),
  };
  assert.equal(logic.changeLayers(six, 1).hidden_layer_sizes.length, 6);
  assert.deepEqual(logic.changeLayers(STATE, 1), {
    hidden_layer_sizes: [4, 2, 2],
    activation: ["tanh", "relu", "relu"],
  });
  const none = { hidden_layer_sizes: [], activation: [] };
  assert.deepEqual(logic.changeLayers(none, -1), none);
  assert.deepEqual(logic.changeLayers(none, 1).activation, ["tanh"]);
  assert.deepEqual(logic.changeUnits(STATE, 1, -1), { hidden_layer_sizes: [4, 1] });
  assert.deepEqual(logic.changeUnits({ hidden_layer_sizes: [8] }, 0, 1), {
    hidden_layer_sizes: [8],
  });
  assert.deepEqual(STATE.hidden_layer_sizes, [4, 2]);
});

test("values are toggled and keep their order", () => {
  assert.deepEqual(logic.toggled(["a", "b", "c"], ["c"], "a"), ["a", "c"]);
  assert.deepEqual(logic.toggled(["a", "b", "c"], ["a", "c"], "c"), ["a"]);
});

test("weights are found in the flat array", () => {
  const blocks = logic.weightBlocks([2, 3, 1]);
  assert.deepEqual(blocks[1], { begin: 9, rows: 3, columns: 1 });
  const seen = new Set();
  blocks.forEach((block) => {
    for (let row = -1; row < block.rows; row++) {
      for (let j = 0; j < block.columns; j++)
        seen.add(logic.weightIndex(block, row, j));
    }
  });
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    Array.from({ length: 13 }, (_, i) => i),
  );
  assert.equal(logic.weightIndex(blocks[0], 1, 0), 3);
  assert.equal(logic.weightIndex(blocks[0], -1, 2), 8);
});

test("the number of outputs follows from the number of weights", () => {
  const frame = (n) => ({ arrays: { weights: { data: new Float32Array(n) } } });
  const state = { features: ["x", "y"], hidden_layer_sizes: [4, 2] };
  const inner = 3 * 4 + 5 * 2;
  assert.equal(logic.outputCount(state, frame(inner + 3)), 1);
  assert.equal(logic.outputCount(state, frame(inner + 9)), 3);
  assert.equal(
    logic.outputCount({ features: ["x"], hidden_layer_sizes: [] }, frame(2)),
    1,
  );
});

test("output units are named", () => {
  assert.deepEqual(logic.outputNames(["a", "b", "c"], 3), [
    "class a",
    "class b",
    "class c",
  ]);
  assert.deepEqual(logic.outputNames(["a", "b"], 1), ["class b"]);
  assert.deepEqual(logic.outputNames([], 1), ["output"]);
  assert.deepEqual(logic.outputNames([], 2), ["output 1", "output 2"]);
});

test("units are counted over all layers", () => {
  assert.deepEqual(logic.unitPlace([4, 2], 5), { layer: 1, unit: 1 });
  for (let unit = 0; unit < 6; unit++) {
    const place = logic.unitPlace([1, 3, 2], unit);
    assert.equal(logic.unitIndex([1, 3, 2], place.layer, place.unit), unit);
  }
});

test("the pairs of units come round", () => {
  const seen = [];
  let pair = [0, 1];
  do {
    seen.push(String(pair));
    pair = logic.nextPair(pair, 4);
  } while (String(pair) !== "0,1" && seen.length < 99);
  assert.deepEqual(seen, ["0,1", "0,2", "0,3", "1,2", "1,3", "2,3"]);
  assert.deepEqual(logic.nextPair([0, 0], 1), [0, 0]);
});

test("pixels and the plane", () => {
  assert.deepEqual(logic.toPlane(0, 0, 300), [-6, 6]);
  assert.deepEqual(logic.toPlane(400, 400, 300), [6, -6]);
  const there = logic.toPixel(...logic.toPlane(70, 130, 300), 300);
  assert.deepEqual(there.map(Math.round), [70, 130]);
  assert.equal(logic.planeIndex(-6, 6, 100), 0);
  assert.equal(logic.planeIndex(6, -6, 100), 9999);
  assert.equal(logic.planeIndex(0.01, 5.99, 100), 50);
});

test("the nearest point is within reach, test rows count if they are shown", () => {
  const points = Float32Array.of(0, 0, 0, 0, 1, 1, 1, 1);
  assert.equal(logic.nearestPoint(points, 0.1, 0, 0.4, false), 0);
  assert.equal(logic.nearestPoint(points, 1, 1, 0.4, false), -1);
  assert.equal(logic.nearestPoint(points, 1, 1, 0.4, true), 1);
  assert.equal(logic.nearestPoint(new Float32Array(0), 0, 0, 9, true), -1);
});

test("features over the plane", () => {
  const size = 4; // pixel centres at ±1.5 and ±4.5
  const picture = (name) => [...logic.featurePicture(name, size)];
  assert.deepEqual(picture("x").slice(0, 4), [1, 86, 170, 255]);
  assert.equal(picture("y")[0], 255);
  assert.equal(picture("xy")[0], 1);
  assert.equal(picture("x²")[3], 255);
});

test("curves keep every epoch until there are too many", () => {
  const curves = new logic.Curves();
  const limit = logic.Curves.LIMIT;
  for (let epoch = 1; epoch <= limit + 1; epoch++) {
    curves.add(Float32Array.of(0.5, epoch, NaN), epoch);
  }
  assert.equal(curves.rows.length, limit / 2);
  assert.ok(
    curves.rows.every(({ epoch, train }) => epoch % 2 === 0 && epoch === train),
  );
  curves.add(Float32Array.of(0, 1, 1, 0, 2, 2, 0, 3, 3), limit + 4);
  assert.equal(curves.epoch, limit + 4);
  assert.deepEqual(
    curves.rows.slice(-2).map(({ epoch }) => epoch),
    [limit + 2, limit + 4],
  );
  curves.clear();
  assert.deepEqual([curves.rows.length, curves.stride, curves.epoch], [0, 1, 0]);
});

test("ranges leave out what is not finite", () => {
  assert.deepEqual(logic.range([3, NaN, -1, Infinity]), [-1, 3]);
  assert.equal(logic.range([NaN]), null);
});

test("numbers are short", () => {
  const cases = [
    [0, "0"],
    [0.12345, "0.123"],
    [-1.5, "−1.500"],
    [12.345, "12.35"],
    [1234.5, "1235"],
    [0.00001234, "1.2e−5"],
    [-1e7, "−1.0e7"],
    [null, "–"],
    [NaN, "–"],
    [Infinity, "∞"],
  ];
  for (const [value, text] of cases) assert.equal(logic.format(value), text);
  assert.equal(logic.short(-0.0123), "−0.012");
  assert.equal(logic.short(1), "1");
  assert.equal(logic.short(0), "0");
  assert.equal(logic.short(1.234e17), "1.2e17");
  assert.equal(logic.percent(0.256), "26 %");
});
