/**
 * Frames, lessons, network shapes, geometry of the plane: functions without a document.
 *
 * The plane is [-EXTENT, EXTENT]²; y points up, pixel rows go down.
 */

const EXTENT = 6;

const FEATURES = {
  x: (x) => x,
  y: (x, y) => y,
  "x²": (x) => x * x,
  "y²": (x, y) => y * y,
  xy: (x, y) => x * y,
  "sin x": (x) => Math.sin(x),
  "sin y": (x, y) => Math.sin(y),
};

/** Return a feature over the plane as bytes, 128 = 0, scaled to its largest size. */
export function featurePicture(name, size) {
  const values = Float64Array.from({ length: size * size }, (_, i) => {
    const [x, y] = toPlane((i % size) + 0.5, Math.floor(i / size) + 0.5, size);
    return FEATURES[name](x, y);
  });
  const largest = Math.max(...values.map(Math.abs));
  return Uint8Array.from(values, (value) => Math.round(128 + (127 * value) / largest));
}

const DTYPES = { uint8: Uint8Array, float32: Float32Array };

/**
 * Read one binary frame: uint32 length, JSON header, then arrays at multiples of 8.
 *
 * @param {DataView} view
 * @returns {object} the header; `arrays` maps a name to `{ shape, data }`, and the data
 *   share the memory of `view` where it is aligned.
 */
export function decodeFrame(view) {
  // A typed array begins at a multiple of its item size; a notebook's buffer may not.
  const aligned = view.byteOffset % 8 === 0;
  const { buffer, byteOffset, byteLength } = view;
  const memory = aligned ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
  const begin = aligned ? byteOffset : 0;
  const length = view.getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(memory, begin + 4, length));
  const header = JSON.parse(text);
  const arrays = {};
  for (const { name, dtype, shape, offset } of header.arrays) {
    const size = shape.reduce((product, n) => product * n, 1);
    arrays[name] = { shape, data: new DTYPES[dtype](memory, begin + offset, size) };
  }
  return { ...header, arrays };
}

/**
 * Return the state as the text of a URL's hash: `data=xor&hidden_layer_sizes=4,2&…`.
 *
 * Points of one's own are not in it: another page cannot have them.
 */
export function encodeLesson(state) {
  return Object.entries(state)
    .filter(([field, value]) => field !== "data" || value !== "own")
    .map(([field, value]) => `${field}=${encodeURIComponent(value)}`)
    .join("&")
    .replaceAll("%2C", ",");
}

function decodeValue(text) {
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/**
 * Return the partial state that `encodeLesson` wrote; fields without an option are left
 * out, and so are those whose percent signs do not decode. The server validates values.
 */
export function decodeLesson(text, options) {
  const state = {};
  for (const part of text.split("&")) {
    const [field, ...rest] = part.split("=");
    if (!Object.hasOwn(options, field) || !rest.length) continue;
    let value;
    try {
      value = decodeURIComponent(rest.join("="));
    } catch {
      continue;
    }
    if (options[field].kind === "list") {
      state[field] = value === "" ? [] : value.split(",").map(decodeValue);
    } else {
      state[field] = decodeValue(value);
    }
  }
  return state;
}

/** Return the fields that a lesson hides: `hide=alpha,dropout` in the URL's hash. */
export function hiddenFields(text) {
  const part = text.split("&").find((item) => item.startsWith("hide="));
  return part ? part.slice("hide=".length).split(",").filter(Boolean) : [];
}

/** True if a setting is used, by the values of the settings it depends on. */
export function applies(option, state) {
  return Object.entries(option.applies ?? {}).every(([field, values]) =>
    values.includes(state[field]),
  );
}

/** Return the values of a choice, which may depend on another setting. */
export function choices(option, state) {
  const [by] = Object.entries(option.values_by ?? {});
  return by ? by[1][state[by[0]]] : option.values;
}

/** Return the partial state with one hidden layer more (+1) or less (-1), 0 to 6. */
export function changeLayers(state, change) {
  const sizes = [...state.hidden_layer_sizes];
  const activation = [...state.activation];
  if (change > 0 && sizes.length < 6) {
    sizes.push(sizes.at(-1) ?? 4);
    activation.push(activation.at(-1) ?? "tanh");
  } else if (change < 0 && sizes.length > 0) {
    sizes.pop();
    activation.pop();
  }
  return { hidden_layer_sizes: sizes, activation };
}

/** Return the chosen of all values, in their order, with one added or taken away. */
export const toggled = (all, chosen, value) =>
  all.filter((each) => chosen.includes(each) !== (each === value));

/** Return the partial state with `change` units more in a layer, 1 to 8. */
export function changeUnits(state, layer, change) {
  const sizes = [...state.hidden_layer_sizes];
  sizes[layer] = Math.min(8, Math.max(1, sizes[layer] + change));
  return { hidden_layer_sizes: sizes };
}

/**
 * Return where each layer's weights begin in a frame's `weights`.
 *
 * @param {number[]} sizes widths from the features to the outputs
 * @returns {{ begin: number, rows: number, columns: number }[]} W is row-major from
 *   `begin`, its biases follow.
 */
export function weightBlocks(sizes) {
  const blocks = [];
  let begin = 0;
  for (let i = 0; i + 1 < sizes.length; i++) {
    const [rows, columns] = [sizes[i], sizes[i + 1]];
    blocks.push({ begin, rows, columns });
    begin += (rows + 1) * columns;
  }
  return blocks;
}

/** Return the index of a weight in `weights`; row -1 is the bias of the column. */
export function weightIndex(block, row, column) {
  return block.begin + (row < 0 ? block.rows : row) * block.columns + column;
}

/** Return the number of output units of a frame's network, by its number of weights. */
export function outputCount(state, frame) {
  const sizes = [state.features.length, ...state.hidden_layer_sizes];
  const inner = weightBlocks(sizes).reduce(
    (sum, { rows, columns }) => sum + (rows + 1) * columns,
    0,
  );
  return (frame.arrays.weights.data.length - inner) / (sizes.at(-1) + 1);
}

/** Return the names of n output units. */
export function outputNames(classes, n) {
  if (n === classes.length) return classes.map((name) => `class ${name}`);
  if (n === 1) return [classes.length === 2 ? `class ${classes[1]}` : "output"];
  return Array.from({ length: n }, (_, i) => `output ${i + 1}`);
}

/** Return the layer and the place in it of a hidden unit. */
export function unitPlace(hiddenSizes, unit) {
  let layer = 0;
  while (unit >= hiddenSizes[layer]) unit -= hiddenSizes[layer++];
  return { layer, unit };
}

/** Return the index over all hidden units of a layer's unit. */
export function unitIndex(hiddenSizes, layer, unit) {
  return hiddenSizes.slice(0, layer).reduce((sum, n) => sum + n, unit);
}

/** Return the pair after [a, b] among n units: (0,1), (0,2), …, (n-2,n-1), (0,1). */
export function nextPair([a, b], n) {
  if (n < 2) return [0, 0];
  if (b + 1 < n) return [a, b + 1];
  return a + 2 < n ? [a + 1, a + 2] : [0, 1];
}

export const clampToPlane = (value) => Math.min(EXTENT, Math.max(-EXTENT, value));

/** Return the plane's coordinates of a pixel in a square picture of `size` pixels. */
export function toPlane(column, row, size) {
  return [
    clampToPlane((column / size) * 2 * EXTENT - EXTENT),
    clampToPlane(EXTENT - (row / size) * 2 * EXTENT),
  ];
}

/** Return the pixel of a point of the plane, not rounded. */
export function toPixel(x, y, size) {
  return [((x + EXTENT) / (2 * EXTENT)) * size, ((EXTENT - y) / (2 * EXTENT)) * size];
}

/**
 * Return the index of the point closest to (x, y), or -1 if none is within `reach`.
 *
 * @param {Float32Array} points rows of x, y, target, 1 for a test row
 * @param {boolean} withTest whether test rows count
 */
export function nearestPoint(points, x, y, reach, withTest) {
  let best = -1;
  let least = reach * reach;
  for (let i = 0; i * 4 < points.length; i++) {
    if (!withTest && points[4 * i + 3]) continue;
    const distance = (points[4 * i] - x) ** 2 + (points[4 * i + 1] - y) ** 2;
    if (distance <= least) {
      least = distance;
      best = i;
    }
  }
  return best;
}

/** Return the index in the plane's picture, row by row, of the pixel at (x, y). */
export function planeIndex(x, y, size) {
  const [column, row] = toPixel(x, y, size).map((pixel) =>
    Math.min(size - 1, Math.max(0, Math.floor(pixel))),
  );
  return row * size + column;
}

/**
 * Curves of all epochs, thinned so that a long training stays cheap to draw: at `LIMIT`
 * kept epochs every second one goes, and from then on half as many are kept.
 */
export class Curves {
  static LIMIT = 2048;

  constructor() {
    this.clear();
  }

  clear() {
    this.rows = [];
    this.stride = 1;
    this.epoch = 0;
  }

  /**
   * @param {Float32Array} data rows of rate, training loss, test loss
   * @param {number} epoch the number of the last of them
   */
  add(data, epoch) {
    const n = data.length / 3;
    for (let i = 0; i < n; i++) {
      const number = epoch - n + 1 + i;
      this.epoch = number;
      if (number % this.stride) continue;
      const [rate, train, test] = data.subarray(3 * i, 3 * i + 3);
      this.rows.push({ epoch: number, rate, train, test });
    }
    while (this.rows.length > Curves.LIMIT) {
      this.stride *= 2;
      this.rows = this.rows.filter((row) => row.epoch % this.stride === 0);
    }
  }
}

/** Return the least and the largest finite number, or null where there is none. */
export function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : null;
}

/** Return a number in a few significant digits, four at most. */
export function format(value) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const digits = Math.max(0, 3 - Math.max(0, Math.floor(Math.log10(size))));
  return (
    exponential(value) ?? (value === 0 ? "0" : value.toFixed(digits).replace("-", "−"))
  );
}

/** Return a number in at most two significant digits. */
export const short = (value) =>
  exponential(value) ?? String(Number(value.toPrecision(2))).replace("-", "−");

function exponential(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e5)) return null;
  return value.toExponential(1).replace("+", "").replaceAll("-", "−");
}

export const percent = (share) => `${Math.round(100 * share)} %`;
