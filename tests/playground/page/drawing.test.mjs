import assert from "node:assert/strict";
import { test } from "node:test";

import * as drawing from "../../../fastmlp/playground/page/drawing.js";

/** CIE lightness, 0 to 100, of an sRGB colour. */
function lightness(rgb) {
  const [r, g, b] = rgb.map((v) => {
    const share = v / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 116 * Math.cbrt(y) - 16;
}

test("the scale is palest in the middle and darkens to both ends", () => {
  const light = Array.from({ length: 256 }, (_, byte) =>
    lightness(drawing.scale(byte)),
  );
  for (let byte = 1; byte < 256; byte++) {
    if (byte <= 127) assert.ok(light[byte] >= light[byte - 1], `at ${byte}`);
    else if (byte > 128) assert.ok(light[byte] <= light[byte - 1], `at ${byte}`);
  }
  assert.ok(Math.abs(light[0] - light[255]) < 12);
  // Blue to one side, red above blue to the other: apart for all colour blindness.
  assert.ok(drawing.scale(0)[2] > drawing.scale(0)[0] + 60);
  assert.ok(drawing.scale(255)[0] > drawing.scale(255)[2] + 60);
});

test("signed numbers are clipped to the ends of the scale", () => {
  assert.deepEqual(drawing.signed(-1), drawing.scale(0));
  assert.deepEqual(drawing.signed(5), drawing.scale(255));
  assert.deepEqual(drawing.signed(0), drawing.scale(128));
});

test("a picture has its values' colours", () => {
  const rgba = drawing.pixels(Uint8Array.of(0, 200));
  assert.deepEqual([...rgba], [...drawing.scale(0), 255, ...drawing.scale(200), 255]);
});

test("a discrete picture shows the side of the middle only", () => {
  const sides = drawing.pixels(Uint8Array.of(0, 127, 128, 255), null, 2, true);
  const at = (i) => [...sides.slice(4 * i, 4 * i + 3)];
  assert.deepEqual(at(0), at(1));
  assert.deepEqual(at(2), at(3));
  assert.notDeepEqual(at(1), at(2));
});

test("with many classes colours pale where no class is likely", () => {
  const rgba = drawing.pixels(Uint8Array.of(255, 85), Uint8Array.of(2, 2), 3);
  const [sure, unsure] = [rgba.slice(0, 3), rgba.slice(4, 7)].map((c) =>
    lightness([...c]),
  );
  assert.ok(unsure > sure + 20);
});

test("classes have different colours", () => {
  for (const n of [2, 3, 10]) {
    const all = Array.from({ length: n }, (_, k) => String(drawing.classColour(k, n)));
    assert.equal(new Set(all).size, n);
  }
});

test("an edge's width grows with the weight's size", () => {
  assert.equal(drawing.edgeWidth(0), 0.5);
  assert.equal(drawing.edgeWidth(-1), drawing.edgeWidth(1));
  assert.ok(drawing.edgeWidth(2) > drawing.edgeWidth(1));
  assert.equal(drawing.edgeWidth(1e9), 8);
  assert.equal(drawing.edgeWidth(NaN), 0.5);
});
