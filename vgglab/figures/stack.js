// Shapes are those of one image: [channels, height, width], or [features] after a flatten.

let known; // the layers of torch, and what each of their parameters may be
let texts;
let values;

/** A sentence of the page, with its gaps filled. */
const say = (name, ...gaps) => texts[name].replaceAll("{}", () => gaps.shift());

class Unreadable extends Error {
  constructor(name, ...gaps) {
    super(say(name, ...gaps));
  }
}

/** Why a layer does not take a shape. No Error: a thousand of them are thrown for each answer. */
class Misfit {
  constructor(about, name, ...gaps) {
    Object.assign(this, { message: say(name, ...gaps), ...about });
  }
}

const pair = (value) => (Array.isArray(value) ? value : [value, value]);
const whole = (value, least) => Number.isSafeInteger(value) && value >= least;
const MOST = 65536; // pixels a side

// --- what a cell sees: first and last pixel for each cell of an axis, and how they go on ---------

const range = (start, stop, step = 1) =>
  Array.from({ length: Math.max(Math.ceil((stop - start) / step), 0) }, (_, k) => start + k * step);

const imageAxis = (pixels) => {
  const places = Int32Array.from(range(0, pixels));
  return { first: places, last: places, pattern: { size: 1, stride: 1, start: 0 } };
};

const readBy = (pattern, extent, stride, start) =>
  pattern && {
    size: pattern.size + pattern.stride * (extent - 1),
    stride: pattern.stride * stride,
    start: pattern.start + pattern.stride * start,
  };

/** The axis of a map whose cell `place` reads the cells `tapsOf(place)`; padding sees nothing. */
const gather = (axis, places, tapsOf, pattern) => {
  const first = new Int32Array(places).fill(2 ** 31 - 1);
  const last = new Int32Array(places).fill(-1);
  for (let place = 0; place < places; place += 1) {
    for (const tap of tapsOf(place)) {
      if (tap < 0 || tap >= axis.first.length) continue;
      first[place] = Math.min(first[place], axis.first[tap]);
      last[place] = Math.max(last[place], axis.last[tap]);
    }
  }
  return { first, last, pattern };
};

const slide = (axis, places, [kernel, stride, padding, dilation]) => {
  const extent = dilation * (kernel - 1) + 1;
  return gather(
    axis,
    places,
    (place) => range(place * stride - padding, place * stride - padding + extent, dilation),
    readBy(axis.pattern, extent, stride, -padding),
  );
};

const spread = (axis, places, [kernel, stride, padding, dilation]) => {
  const reach = dilation * (kernel - 1);
  return gather(
    axis,
    places,
    (place) =>
      range(0, kernel)
        .map((tap) => place + padding - dilation * tap)
        .map((at) => (at % stride ? -1 : at / stride)),
    stride === 1 ? readBy(axis.pattern, reach + 1, 1, padding - reach) : null,
  );
};

const bins = (axis, places) => {
  const cells = axis.first.length;
  return gather(
    axis,
    places,
    (bin) => range(Math.floor((bin * cells) / places), Math.ceil(((bin + 1) * cells) / places)),
    places === cells ? axis.pattern : null,
  );
};

const everything = (axis) => gather(axis, 1, () => range(0, axis.first.length), null);

const resized = (axis, places, { mode, scale_factor: factor, align_corners: corners }, k) => {
  const cells = axis.first.length;
  // Pixels read a place, as a fraction, so that what is hit exactly is known.
  const [over, under] = factor === null ? [cells, places] : [1, pair(factor)[k]];
  const taps = (place) => {
    if (mode === "nearest") return [Math.min(Math.floor((place * over) / under), cells - 1)];
    const [at, parts] = corners
      ? [place * (cells - 1), Math.max(places - 1, 1)]
      : [Math.max((2 * place + 1) * over - under, 0), 2 * under];
    const low = Math.min(Math.floor(at / parts), cells - 1);
    return at > low * parts ? [low, Math.min(low + 1, cells - 1)] : [low];
  };
  return gather(axis, places, taps, null);
};

// --- what each kind of layer does: shape, parameters, multiply-adds, what cells see ---------------

const mapOf = (shape) => {
  if (shape.length === 3) return shape;
  throw new Misfit({ flat: true }, "flattened", count(shape[0]));
};

/** Compare what comes, the channels of a map or the features of a row, with an argument. */
const wanted = ({ args }, argument, shape, place = 0, about = {}) => {
  const [expected, got] = [args[argument], shape.at(place)];
  if (expected === got) return;
  const word = shape.length === 3 && place === 0 ? "channels" : "features";
  throw new Misfit({ argument, got, ...about }, "gets", count(expected), word, count(got), word);
};

const windows = ({ kernel_size, stride, padding = 0, dilation = 1 }) =>
  [0, 1].map((k) => {
    const [kernel, step, gap] = [kernel_size, stride ?? kernel_size, dilation].map(
      (value) => pair(value)[k],
    );
    const before = padding === "same" ? Math.floor((gap * (kernel - 1)) / 2) : pair(padding)[k];
    return [kernel, step, padding === "valid" ? 0 : before, gap];
  });

const placesOf = (side, [kernel, stride, padding, dilation], { padding: given, ceil_mode }) => {
  if (given === "same") return side;
  const room = side + 2 * padding - dilation * (kernel - 1) - 1;
  if (!ceil_mode) return Math.floor(room / stride) + 1;
  const places = Math.ceil(room / stride) + 1;
  return (places - 1) * stride >= side + padding ? places - 1 : places;
};

const slidOver = ({ windows: taken, args }, shape) => {
  const [, ...sides] = mapOf(shape);
  const places = taken.map((window, k) => placesOf(sides[k], window, args));
  const wrong = places.findIndex((count_) => count_ < 1);
  if (wrong < 0) return places;
  const [kernel, , padding, dilation] = taken[wrong];
  const axis = ["height", "width"][wrong];
  const around = padding ? say("around", padding) : "";
  const extent = dilation * (kernel - 1) + 1;
  throw new Misfit({ small: true }, "window", extent, axis, sides[wrong], around);
};

const slid = (axis, places, layer, k) => slide(axis, places, layer.windows[k]);
const affine = ({ args }) => (args.affine ? 2 * args.num_features : 0);
const kernels = ({ args }) =>
  (args.in_channels * args.out_channels * product(pair(args.kernel_size))) / args.groups;
const biases = (args, size) => (args.bias ? size : 0);
const isSplit = ({ in_channels, out_channels, groups }) =>
  in_channels % groups || out_channels % groups ? say("groups", groups, in_channels, out_channels) : "";

const KINDS = {
  convolution: {
    check(args) {
      const isSlow = args.padding === "same" && Math.max(...pair(args.stride)) > 1;
      return isSplit(args) || (isSlow ? say("same") : "");
    },
    shape(layer, shape) {
      wanted(layer, "in_channels", mapOf(shape));
      return [layer.args.out_channels, ...slidOver(layer, shape)];
    },
    parameters: (layer) => kernels(layer) + biases(layer.args, layer.args.out_channels),
    multAdds: (layer, before, [, ...places]) => kernels(layer) * product(places),
    axis: slid,
  },
  transposed: {
    check(args) {
      const isMore = (extra, k) => extra >= Math.max(pair(args.stride)[k], pair(args.dilation)[k]);
      return pair(args.output_padding).some(isMore) ? say("extra") : isSplit(args);
    },
    shape(layer, shape) {
      wanted(layer, "in_channels", mapOf(shape));
      const extra = pair(layer.args.output_padding);
      const places = layer.windows.map(
        ([kernel, stride, padding, dilation], k) =>
          (shape[k + 1] - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra[k] + 1,
      );
      if (Math.min(...places) < 1) throw new Misfit({ small: true }, "nothing");
      return [layer.args.out_channels, ...places];
    },
    parameters: (layer) => KINDS.convolution.parameters(layer),
    multAdds: (layer, [, ...places]) => kernels(layer) * product(places),
    axis: (axis, places, layer, k) => spread(axis, places, layer.windows[k]),
  },
  pool: {
    check(args) {
      const isWide = ([kernel, , padding, dilation]) => 2 * padding > dilation * (kernel - 1) + 1;
      return windows(args).some(isWide) ? say("wide") : "";
    },
    shape: (layer, shape) => [shape[0], ...slidOver(layer, shape)],
    axis: slid,
  },
  adaptive: {
    shape({ args }, shape) {
      const [channels, ...sides] = mapOf(shape);
      return [channels, ...pair(args.output_size).map((side, k) => side ?? sides[k])];
    },
    axis: bins,
  },
  norm: {
    shape(layer, shape) {
      wanted(layer, "num_features", mapOf(shape));
      return shape;
    },
    parameters: affine,
  },
  features: {
    shape(layer, shape) {
      if (shape.length > 1) throw new Misfit({ map: true }, "map");
      wanted(layer, "num_features", shape);
      return shape;
    },
    parameters: affine,
  },
  linear: {
    shape(layer, shape) {
      const { in_features, out_features } = layer.args;
      const [before, got] = [shape.slice(0, -1), shape.at(-1)];
      wanted(layer, "in_features", shape, -1, {
        map: shape.length === 3,
        detail: say("product", product(before), got, in_features, out_features),
      });
      return [...before, out_features];
    },
    parameters: ({ args }) =>
      args.in_features * args.out_features + biases(args, args.out_features),
    multAdds: ({ args }, before, after) => args.in_features * product(after),
  },
  flatten: { shape: (layer, shape) => [product(shape)] },
  upsample: {
    check: ({ size, scale_factor }) =>
      (size === null) === (scale_factor === null) ? say("size") : "",
    shape({ args: { size, scale_factor } }, shape) {
      const [channels, ...sides] = mapOf(shape);
      const places = sides.map((side, k) =>
        size === null ? Math.floor(side * pair(scale_factor)[k]) : pair(size)[k],
      );
      if (Math.min(...places) < 1) throw new Misfit({ small: true }, "nothing");
      return [channels, ...places];
    },
    axis: (axis, places, layer, k) => resized(axis, places, layer.args, k),
  },
  same: { shape: (layer, shape) => shape },
};

/** Run a shape through layers: a row for each, up to the one that fails. */
const runShapes = (layers, input) => {
  const rows = [];
  let shape = input;
  for (const layer of layers) {
    try {
      const after = KINDS[layer.kind].shape(layer, shape);
      if (after.length === 3 && Math.max(after[1], after[2]) > MOST) {
        throw new Misfit({}, "large", count(MOST));
      }
      rows.push({ before: shape, shape: after });
      shape = after;
    } catch (failure) {
      if (!(failure instanceof Misfit)) throw failure;
      return { rows, failure };
    }
  }
  return { rows, failure: null };
};

/** Everything about a stack: shapes, parameters, mult-adds, receptive fields, and where it fails. */
const analyse = (layers, input) => {
  const { rows, failure } = runShapes(layers, input);
  let axes = input.slice(1).map(imageAxis);
  rows.forEach((row, index) => {
    const layer = layers[index];
    const { parameters, multAdds, axis } = KINDS[layer.kind];
    row.parameters = parameters?.(layer) ?? 0;
    row.multAdds = multAdds?.(layer, row.before, row.shape) ?? 0;
    const isMap = row.before.length === 3;
    if (layer.kind === "flatten" && isMap) axes = axes.map(everything);
    // On a map it reads a whole row of cells.
    if (layer.kind === "linear" && isMap) axes = [axes[0], everything(axes[1])];
    if (axis) axes = axes.map((old, k) => axis(old, row.shape[k + 1], layer, k));
    row.axes = axes;
  });
  return { rows, failure };
};

/** The square sizes that get through, as intervals; the last may be open. */
const squareSizes = (layers, channels, limit) => {
  const found = [];
  for (let side = 1; side <= limit; side += 1) {
    if (runShapes(layers, [channels, side, side]).failure) continue;
    if (found.at(-1)?.[1] === side - 1) found.at(-1)[1] = side;
    else found.push([side, side]);
  }
  return found;
};

// --- reading what people paste -------------------------------------------------------------------

const CONTAINERS = ["Sequential", "ModuleList", "OrderedDict"];
const build = (name, ...given) => bind(name, given.map(String));
const unreadable = (line, why) => new Unreadable("line", line, why);
const unknown = (name) => say("stranger", name);

const splitArguments = (text) => {
  const parts = [""];
  let depth = 0;
  for (const sign of text) {
    if ("([".includes(sign)) depth += 1;
    if (")]".includes(sign)) depth -= 1;
    if (sign === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += sign;
  }
  return parts.map((part) => part.trim()).filter(Boolean);
};

const readValue = (text) => {
  if (/^-?(\d+\.?\d*|\.\d+)(e-?\d+)?$/i.test(text)) return Number(text);
  const constant = { True: true, False: false, None: null }[text];
  if (constant !== undefined) return constant;
  const word = text.match(/^["']?([a-z_]+)["']?$/)?.[1];
  if (/^["']/.test(text) ? word : ["same", "valid"].includes(word)) return word;
  const inside = text.match(/^[([](.*)[)\]]$/s)?.[1];
  const values = inside === undefined ? [] : splitArguments(inside).map(readValue);
  if (values.length === 2) return values;
  throw new Unreadable("value", text);
};

/** Bind arguments to the parameters of torch's layer of that name. */
const bind = (name, given) => {
  const { kind, parameters } = known[name];
  const args = Object.fromEntries(parameters.filter((part) => part.length > 1));
  given.forEach((text, place) => {
    const [, key, value] = text.match(/^([A-Za-z_]\w*)\s*=\s*(.*)$/s) ?? [null, null, text];
    const parameter = key ?? parameters[place]?.[0];
    if (parameter === undefined) throw new Unreadable("fewer", name);
    if (!parameters.some(([own]) => own === parameter)) throw new Unreadable("no", name, parameter);
    args[parameter] = readValue(value);
  });
  for (const [parameter] of parameters) {
    if (!(parameter in args)) throw new Unreadable("needs", name, parameter);
    const value = args[parameter];
    const { only, least, most, single, free } = values[parameter] ?? {};
    if (only && !only.includes(value)) throw new Unreadable("unknown", name, parameter, value);
    if (least === undefined || (free && value === null) || typeof value === "string") continue;
    const isRight = (side) =>
      (whole(side, least) && side <= most) || (parameter === "output_size" && side === null);
    if (!(single ? [value] : pair(value)).every(isRight)) {
      throw new Unreadable("number", parameter, name, least, most);
    }
  }
  const wrong = KINDS[kind].check?.(args);
  if (wrong) throw new Unreadable("wrong", name, wrong);
  return { name, kind, args, windows: args.kernel_size && windows(args) };
};

/** The layers in a text, in order, and what is to be said about them. */
const readLayers = (text) => {
  const plain = text.replace(/#.*/g, "");
  const [code] = plain.split(/\n\s*def forward\b/);
  const failAt = (place, why) => unreadable(code.slice(0, place).split("\n").length, why);
  const layers = [];
  const calls = /([A-Za-z_][\w.]*)\s*\(/g;
  const printed = /\(\w+\): /.test(code);
  let outer = null;
  for (let call = calls.exec(code); call; call = calls.exec(code)) {
    const name = call[1].split(".").at(-1);
    const before = code.slice(0, call.index);
    if (CONTAINERS.includes(name)) {
      outer ??= name;
      continue;
    }
    if (!(name in known)) {
      if (!/^[A-Z]/.test(name) || /class\s+$/.test(before) || name === "Module") continue;
      if (outer !== null || !printed) throw failAt(call.index, unknown(name));
      outer = name;
      continue;
    }
    outer ??= "";
    let [end, depth] = [calls.lastIndex, 1];
    for (; depth && end < code.length; end += 1) depth += { "(": 1, ")": -1 }[code[end]] ?? 0;
    if (depth) throw failAt(call.index, say("bracket", name));
    try {
      const found = bind(name, splitArguments(code.slice(calls.lastIndex, end - 1)));
      const times = Number(before.match(/\b(\d+) x $/)?.[1] ?? 1);
      layers.push(...Array(times).fill(found));
    } catch (error) {
      throw error instanceof Unreadable ? failAt(call.index, error.message) : error;
    }
    calls.lastIndex = end;
  }
  const lines = code.split("\n");
  const rest = lines.findIndex((line) => /^\s*[A-Z]\w*\s*$/.test(line));
  if (!layers.length || rest >= 0) {
    throw unreadable((rest >= 0 ? rest : lines.findIndex((line) => line.trim())) + 1 || 1, say("no layer"));
  }
  const isNetwork = (outer && !CONTAINERS.includes(outer)) || code !== plain;
  return isNetwork || /class\s+\w+\(/.test(code) ? asForward(layers) : { layers, note: "" };
};

/** Put in the flatten that a printed network has in its forward; a forward that joins maps is no chain. */
const asForward = (layers) => {
  const given = [];
  for (const { name, args } of layers) {
    const more = args.in_channels - given.at(-1);
    if (more > 0 && given.includes(more)) {
      throw new Unreadable("joins", name, args.in_channels, given.at(-1), more);
    }
    if (args.out_channels) given.push(args.out_channels);
  }
  const place = layers.findIndex(({ kind }) => kind === "linear");
  const isFlat = place < 1 || layers.slice(0, place).some(({ kind }) => kind === "flatten");
  if (isFlat) return { layers, note: say("chain") };
  return { layers: layers.toSpliced(place, 0, build("Flatten")), note: say("chain") + say("put in") };
};

const SUMMARY_ROW = /([A-Z]\w*)(?: \(\w+\))?(?:(?:: \d+)?-\d+|(?<=─[^─]+))\s+(\[.*)$/;

/** The layers of torchinfo's or torchsummary's table, as far as shapes and parameters tell them. */
const readSummary = (text) => {
  const columns = text.match(/(Input|Output|Kernel) Shape|Param #/g) ?? [];
  const layers = [];
  let [shape, input] = [null, null];
  text.split("\n").forEach((line, number) => {
    const [, name, rest] = line.match(SUMMARY_ROW) ?? [];
    if (!name || name === "Sequential") return;
    if (!(name in known)) throw unreadable(number + 1, unknown(name));
    const cells = rest.split(/\s{2,}/);
    const cell = (column) => cells[columns.indexOf(column)] ?? "";
    const numbers = (column) => (cell(column).match(/-?\d+/g) ?? []).map(Number);
    const after = numbers("Output Shape").slice(1);
    const given = numbers("Input Shape").slice(1);
    const before = given.length ? given : shape;
    const weights = Number(cell("Param #").replace(/\D/g, ""));
    if (name === "Linear" && before?.length === 3) layers.push(build("Flatten"));
    try {
      const found = fromSummary(name, before, after, weights, numbers("Kernel Shape"));
      input ??= before ?? found.input;
      layers.push(found);
    } catch (error) {
      throw error instanceof Unreadable ? unreadable(number + 1, error.message) : error;
    }
    shape = after;
  });
  if (!layers.length) throw unreadable(1, say("no rows"));
  return { layers, note: say("summary"), input: input?.length === 3 ? input : null };
};

const fromSummary = (name, before, after, weights, kernel) => {
  const { kind, parameters } = known[name];
  const bias = (has) => (has ? [] : ["bias=False"]);
  const [outputs, ...places] = after;
  if (kind === "same" || kind === "flatten") {
    return build(name, ...parameters.filter((part) => part.length === 1).map(() => 1));
  }
  if (kind === "norm" || kind === "features") return build(name, outputs);
  if (kind === "adaptive") return build(name, `(${places})`);
  if (kind === "upsample") return build(name, `size=(${places})`);
  if (kind === "linear") {
    const out = after.at(-1);
    const inputs = before ? product(before) : (weights - out) / out;
    return build(name, inputs, out, ...bias(!before || weights !== inputs * out));
  }
  if (kind === "convolution") {
    for (const channels of before ? [before[0]] : [3, 1]) {
      for (const [groups, has] of [[1, true], [1, false], [channels, true], [channels, false]]) {
        const cells = ((weights - (has ? outputs : 0)) * groups) / (outputs * channels);
        const sides = product(kernel) === cells && kernel.length === 2 ? kernel : pair(Math.sqrt(cells));
        if (!sides.every((side) => whole(side, 1))) continue;
        const given = before?.slice(1) ?? places;
        const [strides, paddings] = windowsThatFit(given, places, sides);
        const found = build(
          name, channels, outputs, `(${sides})`, `stride=${strides}`, `padding=${paddings}`,
          `groups=${groups}`, ...bias(has),
        );
        return { ...found, input: [channels, ...given] };
      }
    }
    throw new Unreadable("no kernel", name, count(weights));
  }
  if (kind !== "pool" || !before) throw new Unreadable("too little", name);
  const given = before.slice(1);
  const usual = given.map((side, k) => Math.round(side / places[k]));
  const sides = kernel.length ? [kernel[0], kernel.at(-1)] : usual;
  return build(name, `(${sides})`, ...windowsThatFit(given, places, sides));
};

/** Strides and paddings, the usual ones first, with which windows make `after` of `before`. */
const windowsThatFit = (before, after, kernels_) => {
  const fits = kernels_.map((kernel, k) => {
    const stride = Math.max(Math.round(before[k] / after[k]), 1);
    const paddings = [Math.floor((kernel - 1) / 2), 0, ...range(0, kernel)];
    const fit = (padding) => placesOf(before[k], [kernel, stride, padding, 1], {}) === after[k];
    const padding = paddings.find(fit);
    if (padding === undefined) throw new Unreadable("no window", after[k], before[k]);
    return [stride, padding];
  });
  return [0, 1].map((part) => `(${fits.map((fit) => fit[part])})`);
};

/** Layers, a note, and an input if the text tells one. */
const readNetwork = (text) =>
  /Output Shape/.test(text) ? readSummary(text) : readLayers(text);

/** A layer as a line of code, with what differs from torch's defaults. */
const writeLayer = ({ name, args }) => {
  const written = (value) => {
    if (Array.isArray(value)) {
      return value[0] === value[1] ? written(value[0]) : `(${value.map(written).join(", ")})`;
    }
    if (typeof value === "string") return `"${value}"`;
    return { true: "True", false: "False", null: "None" }[value] ?? String(value);
  };
  const isStride = (parameter) =>
    parameter === "stride" && written(args.stride) === written(args.kernel_size);
  const parts = known[name].parameters.flatMap(([parameter, ...usual]) => {
    const text = written(args[parameter]);
    if (!usual.length) return [text];
    const unsaid = parameter === "inplace" || text === written(usual[0]);
    const pooled = known[name].kind === "pool" && isStride(parameter);
    return unsaid || pooled ? [] : [`${parameter}=${text}`];
  });
  return `${name}(${parts.join(", ")})`;
};

// --- repairs -------------------------------------------------------------------------------------

/** The smallest side of the interval that is nearest: there no pooling drops a row. */
const nearestSize = (sizes, side) => {
  const away = ([first, last]) => Math.max(first - side, side - last, 0);
  return sizes.length ? sizes.reduce((a, b) => (away(b) < away(a) ? b : a))[0] : null;
};

/** The place of the flatten, before the failing layer, whose features that layer counts. */
const flattenBefore = (layers, rows) => {
  const place = rows.findLastIndex(({ before, shape }) => before.length > shape.length);
  const between = layers.slice(place + 1, rows.length);
  return place >= 0 && between.every(({ kind }) => kind === "same") ? place : -1;
};

/** The map that a layer behind the flatten at `place` was built for. */
const mapFor = (layers, place, sizes, [channels, ...sides], features, got) => {
  const side = nearestSize(sizes, Math.max(...sides));
  const { rows } = runShapes(layers.slice(0, place + 1), [channels, side ?? 0, side ?? 0]);
  if (side !== null) return rows.at(-1).before;
  const square = Math.sqrt(features / got[0]);
  return whole(square, 1) ? [got[0], square, square] : null;
};

/** The layers behind the map as convolutions, and their scores averaged. */
const asConvolutions = (layers, place, [, ...kernel]) => {
  let sides = kernel; // of the first, and 1 × 1 of all others
  const behind = layers.slice(place + 1).map((old) => {
    if (old.kind === "same") return old;
    const { in_features, out_features, bias, num_features } = old.args;
    if (old.kind === "features") return build("BatchNorm2d", num_features);
    if (old.kind !== "linear") return null;
    const given = [in_features / product(sides), out_features, `(${sides})`, `bias=${bias ? "True" : "False"}`];
    sides = [1, 1];
    return build("Conv2d", ...given);
  });
  if (behind.includes(null)) return null;
  return [...layers.slice(0, place), ...behind, build("AdaptiveAvgPool2d", 1), build("Flatten")];
};

/** What can be changed where a stack stops, each tried: it gets further, or it is not offered. */
const repairsOf = (layers, input, sizes) => {
  const { rows, failure } = runShapes(layers, input);
  if (!failure) return [];
  const at = rows.length;
  const { kind, name, args } = layers[at];
  const found = [];
  const put = (place, gone, ...others) => layers.toSpliced(place, gone, ...others);
  const offer = (title, changed, gaps = [], size = input) =>
    changed && found.push({ title, note: say(title, ...gaps), layers: changed, input: size });
  const place = flattenBefore(layers, rows);
  let [wants, lost] = [null, ""];
  if (kind === "linear" && place >= 0) {
    const map = rows[place].before;
    wants = mapFor(layers, place, sizes, input, args.in_features, map);
    lost = say("lost", count(args.in_features * args.out_features));
    const cells = wants?.slice(1);
    if (wants) {
      offer("Adaptive pooling", put(place, 0, build("AdaptiveAvgPool2d", `(${cells})`)), [by(cells)]);
      const isLarger = cells.every((side, k) => map[k + 1] >= side);
      offer("Convolutions", isLarger && asConvolutions(layers, place, wants), [by(cells)]);
    }
  }
  if (failure.map) offer("Flatten", put(at, 0, build("Flatten")));
  const flatten = layers.findLastIndex((other, index) => other.kind === "flatten" && index < at);
  if (failure.flat && flatten >= 0) offer("Keep the map", put(flatten, 1), [flatten + 1]);
  if (failure.argument && !failure.map) {
    const changed = { ...args, [failure.argument]: failure.got };
    const isRight = !KINDS[kind].check?.(changed);
    offer("Change the line", isRight && put(at, 1, { ...layers[at], args: changed }), [lost]);
  }
  if (failure.small && kind === "pool") offer("Leave it out", put(at, 1), [at + 1, name]);
  const side = nearestSize(sizes, Math.max(input[1], input[2]));
  if (side !== null) offer("Other images", layers, [], [input[0], side, side]);
  const better = found.filter((repair) => {
    const after = runShapes(repair.layers, repair.input);
    repair.stops = after.failure ? after.rows.length : null;
    return !after.failure || after.rows.length > at;
  });
  return Object.assign(better, { wants });
};

const total = (rows, name) => rows.reduce((sum, row) => sum + row[name], 0);

// --- the page ------------------------------------------------------------------------------------

const { format: short } = new Intl.NumberFormat("en-US", {
  notation: "compact",
  maximumFractionDigits: 1,
});
const sidesOf = (sides) => (sides[0] === sides[1] ? `${sides[0]}` : sides.join("×"));

class VgglabStack extends VgglabFigure {
  show() {
    const { examples, kinds, paste, read, rows, tools, share } = this.parts;
    ({ layers: known, texts, values } = this.data);
    this.past = [];
    this.lines = [];
    this.input = [3, 32, 32];
    kinds.append(...Object.keys(known).map((name) => make("option", "", name)));
    for (const [title, { input, lines }] of Object.entries(this.data.examples)) {
      const button = make("button", "", title);
      button.addEventListener("click", () => this.change(lines, input));
      examples.append(button);
    }
    read.addEventListener("click", () => this.paste(paste.value));
    ["channels", "height", "width"].forEach((name, place) => {
      this.parts[name].addEventListener("input", ({ target }) => {
        if (!target.validity.valid || !target.value) return;
        this.input = this.input.with(place, target.valueAsNumber);
        this.showAnswer();
      });
    });
    rows.addEventListener("focusin", ({ target }) => this.choose(this.placeOf(target)));
    rows.addEventListener("input", ({ target }) => {
      this.lines[this.placeOf(target)] = target.value;
      this.showAnswer();
    });
    rows.addEventListener("keydown", (event) => this.press(event));
    tools.addEventListener("click", ({ target }) => this.act(target.value));
    share.addEventListener("click", () => this.share());
    addEventListener("hashchange", () => this.readAddress());
    if (!this.readAddress()) {
      const [{ input, lines }] = Object.values(this.data.examples);
      this.restore({ lines, input });
    }
  }

  placeOf(node) {
    return [...this.parts.rows.children].indexOf(node.closest("tr"));
  }

  /** Take other lines and another input, as one step that can be undone. */
  change(lines, input = this.input, focus = null) {
    this.past.push({ lines: this.lines, input: this.input });
    this.restore({ lines, input }, focus);
  }

  restore({ lines, input }, focus = null) {
    this.lines = [...lines];
    this.input = input;
    ["channels", "height", "width"].forEach((name, k) => (this.parts[name].value = input[k]));
    this.showRows();
    this.showAnswer();
    if (focus !== null) this.parts.rows.children[focus]?.querySelector("input").focus();
  }

  paste(text) {
    try {
      const { layers, note, input } = readNetwork(text);
      this.change(layers.map((layer) => this.written(layer)), input ?? this.input);
      write(this.parts.said, note || say("read", layers.length));
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      write(this.parts.said, error.message);
    }
  }

  /** Take the stack from the address, if it holds one. */
  readAddress() {
    const text = decodeURIComponent(location.hash.slice(1));
    const [size, ...lines] = text.split(";");
    const input = size.split("x").map(Number);
    if (input.length !== 3 || !input.every((side) => whole(side, 1) && side <= 4096)) return false;
    if (text !== this.address) this.restore({ lines, input });
    return true;
  }

  async share() {
    try {
      await navigator.clipboard.writeText(location.href);
      write(this.parts.shared, "Copied.");
    } catch {
      write(this.parts.shared, say("address"));
    }
  }

  choose(place) {
    this.chosen = place;
    const { rows, up, down, remove } = this.parts;
    [...rows.children].forEach((row, k) => row.classList.toggle("chosen", k === place));
    up.disabled = place <= 0;
    down.disabled = place < 0 || place >= this.lines.length - 1;
    remove.disabled = place < 0;
  }

  press(event) {
    const { key, altKey, target } = event;
    const place = this.placeOf(target);
    const arrow = { ArrowUp: "up", ArrowDown: "down" }[key];
    const next = this.parts.rows.children[place + { up: -1, down: 1 }[arrow]];
    if (arrow && altKey) this.act(arrow);
    else if (arrow) next?.querySelector("input").focus();
    else if (key === "Enter") this.change(this.lines.toSpliced(place + 1, 0, ""), this.input, place + 1);
    else if (key === "Backspace" && !target.value) this.act("remove");
    else return;
    event.preventDefault();
  }

  act(name) {
    const place = this.chosen;
    const to = place + { up: -1, down: 1 }[name];
    const without = this.lines.toSpliced(place, 1);
    if (name === "undo") this.past.length && this.restore(this.past.pop());
    else if (name === "add") this.add(place < 0 ? this.lines.length : place + 1);
    else if (name === "remove" && place >= 0) {
      this.change(without, this.input, Math.min(place, without.length - 1));
    } else if (this.lines[to] !== undefined) {
      this.change(without.toSpliced(to, 0, this.lines[place]), this.input, to);
    }
  }

  /** Put in a layer that fits what comes. */
  add(place) {
    const name = this.parts.kinds.value;
    const { rows } = runShapes(this.layersOf(this.lines.slice(0, place)).layers, this.input);
    const shape = rows.at(-1)?.shape ?? this.input;
    const usual = { kernel_size: "3", output_size: "1", out_features: "10" };
    const given = known[name].parameters
      .filter((part) => part.length === 1)
      .map(([parameter]) => usual[parameter] ?? String(parameter === "in_features" ? shape.at(-1) : shape[0]));
    if (name === "Upsample") given.push("scale_factor=2");
    this.change(this.lines.toSpliced(place, 0, `${name}(${given.join(", ")})`), this.input, place);
  }

  /** The layers of lines, each with its row, and what cannot be read. */
  layersOf(lines) {
    const layers = [];
    for (const [row, line] of lines.entries()) {
      if (!line.trim()) continue;
      try {
        if (!/\)[\s,;]*$/.test(line)) throw unreadable(1, say("no layer"));
        const found = readLayers(line).layers;
        layers.push(...found.map((layer) => ({ ...layer, row })));
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        return { layers, unreadable: { row, text: error.message.replace(/^Line 1/, `Line ${row + 1}`) } };
      }
    }
    return { layers, unreadable: null };
  }

  showRows() {
    const row = (line, place) => {
      const field = make("input");
      Object.assign(field, { value: line, ariaLabel: `Layer ${place + 1}`, spellcheck: false });
      const number = make("th", "", String(place + 1));
      number.scope = "row";
      const cells = ["", "parameters", "mult-adds", "sees"].map((name) => {
        const cell = make("td");
        cell.dataset.of = name;
        return cell;
      });
      return make("tr", "", number, make("td", "code", field), ...cells);
    };
    this.parts.rows.replaceChildren(...this.lines.map(row));
    this.choose(-1);
  }

  written(layer) {
    return writeLayer(layer);
  }

  /** Everything that there is to say about lines of code and an input. */
  answer(lines, input) {
    const { layers, unreadable } = this.layersOf(lines);
    // A thousand forwards, which another height or width would not change.
    const of = [...lines, input[0]].join("\n");
    if (this.sizesOf !== of) this.sizes = squareSizes(layers, input[0], this.data.limit);
    this.sizesOf = of;
    const repairs = unreadable ? [] : repairsOf(layers, input, this.sizes);
    return { layers, unreadable, ...analyse(layers, input), sizes: this.sizes, repairs };
  }

  showAnswer() {
    const { layers, unreadable, rows, failure, sizes, repairs } = this.answer(this.lines, this.input);
    this.showCells(layers, rows, failure, unreadable);
    this.showPicture(layers, rows, failure);
    this.showVerdict({ layers, rows, failure, unreadable, sizes, wants: repairs.wants });
    this.showRepairs(repairs);
    this.address = `${this.input.join("x")};${this.lines.map((line) => line.replaceAll(" ", "")).join(";")}`;
    this.first ??= this.address;
    if (this.address !== this.first) location.replace(`#${encodeURI(this.address)}`);
  }

  showCells(layers, rows, failure, unreadable) {
    [...this.parts.rows.children].forEach((line, place) => {
      const index = layers.findLastIndex((layer) => layer.row === place);
      const { shape, parameters, multAdds, axes } = rows[index] ?? {};
      const fails = unreadable ? unreadable.row === place : failure !== null && index === rows.length;
      line.classList.toggle("wrong", fails);
      line.querySelector("input").ariaInvalid = String(fails);
      const seen = axes && sidesOf(axes.map(({ first, last }) => Math.max(0, 1 + first.reduce(
        (most, start, k) => Math.max(most, last[k] - start), -1))));
      const texts = shape
        ? [by(shape), parameters ? count(parameters) : "", multAdds ? short(multAdds) : "", seen]
        : [fails ? "✗ stops here" : "", "", "", ""];
      [...line.children].slice(2).forEach((cell, k) => write(cell, texts[k]));
    });
  }

  showPicture(layers, rows, failure) {
    const largest = Math.max(...[{ shape: this.input }, ...rows].flatMap(({ shape }) => shape.slice(1)));
    const shown = [[this.input, "", "input"]];
    rows.forEach(({ before, shape }, index) => {
      const { kind, name } = layers[index];
      if (!["same", "norm", "features"].includes(kind)) shown.push([shape, kind, name, before]);
    });
    const items = shown.map(([shape, kind, name, before]) => {
      const isMap = shape.length > 1;
      const [height, depth] = isMap
        ? shape.slice(1).map((side) => Math.max((side / largest) * 72, 2))
        : [6 + Math.log2(shape[0]) * 4, 0];
      const box = make("span", "box", make("i"), make("i"), make("i"));
      box.style.setProperty("--w", isMap ? 3 + Math.log2(shape[0]) * 1.6 : 4);
      box.style.setProperty("--h", height);
      box.style.setProperty("--d", depth * 0.4);
      const isNew = !before || before.slice(1).join() !== shape.slice(1).join();
      const side = isMap ? sidesOf(shape.slice(1)) : short(shape[0]);
      const item = make("div", kind, box, make("span", "", isNew || !isMap ? side : "\u00a0"));
      item.title = `${name}: ${by(shape)}`;
      return item;
    });
    if (failure) {
      const item = make("div", "wrong", make("b", "", "✗"), make("span", "", layers[rows.length].name));
      items.push(item);
    }
    this.parts.picture.replaceChildren(...items);
    this.parts.picture.ariaLabel = `Volumes: ${shown.map(([shape]) => by(shape)).join(", ")}`;
  }

  showVerdict({ layers, rows, failure, unreadable, sizes, wants }) {
    const { figure, verdict, why, message, fitting, costs } = this.parts;
    const runs = !failure && !unreadable;
    figure.classList.toggle("fits", runs);
    const stopped = layers[rows.length];
    write(verdict, runs ? "✓ It runs" : unreadable ? "✗ A line cannot be read" : `✗ It stops at layer ${stopped.row + 1}`);
    const output = rows.at(-1)?.shape ?? this.input;
    const place = failure ? flattenBefore(layers, rows) : -1;
    const equal = (shape) => `${count(product(shape))} = ${by(shape)}`;
    const counted = wants ? say("built", equal(wants), equal(rows[place].before)) : "";
    write(
      why,
      unreadable?.text ??
        (failure
          ? `${this.written(stopped)} ${failure.message}.${counted}`
          : `It returns ${by(output)}${output.length > 1 ? " (channels × height × width)" : " features"}.`),
    );
    write(message, failure?.detail ?? "");
    const last = (end) => (end >= this.data.limit ? "and more" : `to ${end}`);
    const words = sizes.slice(0, 4).map(([a, b]) => (a === b ? `${a}` : `${a} ${last(b)}`));
    const more = sizes.length > 4 ? ", …" : "";
    write(fitting, unreadable ? "–" : words.length ? `${words.join(", ")}${more} px` : `none up to ${this.data.limit} px`);
    write(costs, `${count(total(rows, "parameters"))} parameters, ${count(total(rows, "multAdds"))} mult-adds${runs ? "" : " up to there"}`);
  }

  showRepairs(repairs) {
    const item = ({ title, note, layers, input, stops }) => {
      const lines = layers.map((layer) => this.written(layer));
      const added = lines.filter((line) => !this.lines.includes(line));
      const { rows } = analyse(layers, input);
      const then = stops === null ? "" : say("then", stops + 1);
      const button = make("button", "", input === this.input ? "Do it" : `Use ${sidesOf(input.slice(1))} px`);
      button.ariaLabel = `${title}: ${button.textContent}`;
      button.addEventListener("click", () => this.change(lines, input));
      return make(
        "li", "", make("p", "title", title), make("code", "", [...new Set(added)].join("\n")),
        make("p", "", note + then),
        make("p", "note", `${short(total(rows, "parameters"))} parameters, ${short(total(rows, "multAdds"))} mult-adds`),
        button,
      );
    };
    this.parts.repairs.replaceChildren(...repairs.map(item));
    this.parts.mend.hidden = repairs.length === 0;
  }
}

VgglabStack.define("vgglab-stack");
