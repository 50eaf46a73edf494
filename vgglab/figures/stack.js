// Shapes are those of one image: [channels, height, width], or [features] after a flatten.

class Unreadable extends Error {}

/** Why a layer does not take a shape. No Error: a thousand of them are thrown for each answer. */
class Misfit {
  constructor(message, about = {}) {
    Object.assign(this, { message, ...about });
  }
}

const pair = (value) => (Array.isArray(value) ? value : [value, value]);
const product = (values) => values.reduce((a, b) => a * b, 1);
const whole = (value, least) => Number.isSafeInteger(value) && value >= least;
const MOST = 65536; // pixels a side
const grouped = new Intl.NumberFormat("en-US");
const count = (value) => grouped.format(value);
const by = (shape) => shape.join(" × ");

// --- what a cell sees: first and last pixel for each cell of an axis, and how they go on ---------

const imageAxis = (pixels) => {
  const places = Int32Array.from({ length: pixels }, (_, place) => place);
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

const range = (start, stop, step = 1) =>
  Array.from({ length: Math.max(Math.ceil((stop - start) / step), 0) }, (_, k) => start + k * step);

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

const everything = (axis) => ({
  first: Int32Array.of(axis.first.reduce((a, b) => Math.min(a, b))),
  last: Int32Array.of(axis.last.reduce((a, b) => Math.max(a, b))),
  pattern: null,
});

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

const mapOf = (layer, shape) => {
  if (shape.length === 3) return shape;
  throw new Misfit(`takes a map, and gets ${count(shape[0])} features: the map was flattened`, {
    flat: true,
  });
};

const wanted = (argument, expected, got) => {
  if (expected === got) return;
  throw new Misfit(`takes ${count(expected)} channels and gets ${count(got)}`, { argument, got });
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

const slidOver = (layer, shape) => {
  const [, ...sides] = mapOf(layer, shape);
  const places = layer.windows.map((window, k) => placesOf(sides[k], window, layer.args));
  if (places[0] >= 1 && places[1] >= 1) return places;
  layer.windows.forEach(([kernel, , padding, dilation], k) => {
    if (places[k] >= 1) return;
    const extent = dilation * (kernel - 1) + 1;
    const axis = ["height", "width"][k];
    throw new Misfit(
      `has a window of ${extent} px, and the ${axis} that comes is ${sides[k]} px` +
        (padding ? ` with ${padding} px of padding on each side` : ""),
      { small: true },
    );
  });
};

const same = { shape: (layer, shape) => shape };

const KINDS = {
  convolution: {
    check({ in_channels, out_channels, groups, padding, stride, padding_mode }) {
      if (in_channels % groups || out_channels % groups) {
        return `groups=${groups} must divide ${in_channels} and ${out_channels} channels`;
      }
      if (padding_mode !== "zeros") return `padding_mode=${padding_mode} is not known here`;
      const isSlow = padding === "same" && Math.max(...pair(stride)) > 1;
      return isSlow ? "padding=same needs stride 1" : "";
    },
    shape(layer, shape) {
      wanted("in_channels", layer.args.in_channels, mapOf(layer, shape)[0]);
      return [layer.args.out_channels, ...slidOver(layer, shape)];
    },
    parameters: ({ in_channels, out_channels, kernel_size, groups, bias }) =>
      (out_channels * in_channels * product(pair(kernel_size))) / groups +
      (bias ? out_channels : 0),
    multAdds: ({ in_channels, kernel_size, groups }, before, after) =>
      (product(after) * in_channels * product(pair(kernel_size))) / groups,
    axis: (axis, places, layer, k) => slide(axis, places, layer.windows[k]),
  },
  transposed: {
    check(args) {
      const isMore = (extra, k) => extra >= Math.max(pair(args.stride)[k], pair(args.dilation)[k]);
      const wrong = pair(args.output_padding).some(isMore);
      return wrong ? "output_padding must be below stride or dilation" : KINDS.convolution.check(args);
    },
    shape(layer, shape) {
      wanted("in_channels", layer.args.in_channels, mapOf(layer, shape)[0]);
      const extra = pair(layer.args.output_padding);
      const places = layer.windows.map(
        ([kernel, stride, padding, dilation], k) =>
          (shape[k + 1] - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra[k] + 1,
      );
      if (Math.min(...places) < 1) throw new Misfit("pads away all of its output", { small: true });
      return [layer.args.out_channels, ...places];
    },
    parameters: (args) => KINDS.convolution.parameters(args),
    multAdds: ({ out_channels, kernel_size, groups }, before) =>
      (product(before) * out_channels * product(pair(kernel_size))) / groups,
    axis: (axis, places, layer, k) => spread(axis, places, layer.windows[k]),
  },
  pool: {
    check(args) {
      if (args.return_indices) return "return_indices=True is not known here";
      const isWide = ([kernel, , padding, dilation]) => 2 * padding > dilation * (kernel - 1) + 1;
      return windows(args).some(isWide) ? "padding must be at most half of kernel_size" : "";
    },
    shape: (layer, shape) => [shape[0], ...slidOver(layer, shape)],
    axis: (axis, places, layer, k) => slide(axis, places, layer.windows[k]),
  },
  adaptive: {
    shape(layer, shape) {
      const sides = mapOf(layer, shape).slice(1);
      return [shape[0], ...pair(layer.args.output_size).map((side, k) => side ?? sides[k])];
    },
    axis: bins,
  },
  norm: {
    shape(layer, shape) {
      wanted("num_features", layer.args.num_features, mapOf(layer, shape)[0]);
      return shape;
    },
    parameters: ({ num_features, affine }) => (affine ? 2 * num_features : 0),
  },
  features: {
    shape(layer, shape) {
      const { num_features } = layer.args;
      if (shape.length !== 1) throw new Misfit("takes features, and gets a map", { map: true });
      if (num_features !== shape[0]) {
        throw new Misfit(`takes ${count(num_features)} features and gets ${count(shape[0])}`, {
          argument: "num_features",
          got: shape[0],
        });
      }
      return shape;
    },
    parameters: ({ num_features, affine }) => (affine ? 2 * num_features : 0),
  },
  linear: {
    shape(layer, shape) {
      const { in_features, out_features } = layer.args;
      const got = shape.at(-1);
      if (in_features === got) return [...shape.slice(0, -1), out_features];
      const rows = product(shape.slice(0, -1));
      throw new Misfit(`takes ${count(in_features)} features and gets ${count(got)}`, {
        argument: "in_features",
        got,
        map: shape.length === 3,
        detail:
          "mat1 and mat2 shapes cannot be multiplied " +
          `(${rows}x${got} and ${in_features}x${out_features})`,
      });
    },
    parameters: ({ in_features, out_features, bias }) =>
      in_features * out_features + (bias ? out_features : 0),
    multAdds: ({ in_features }, before, after) => in_features * product(after),
  },
  flatten: {
    check: ({ start_dim, end_dim }) =>
      start_dim === 1 && [-1, 3].includes(end_dim) ? "" : "only Flatten() is known here",
    shape: (layer, shape) => [product(shape)],
  },
  upsample: {
    check: ({ size, scale_factor, mode }) => {
      if ((size === null) === (scale_factor === null)) return "it needs size or scale_factor";
      return ["nearest", "bilinear"].includes(mode) ? "" : `mode=${mode} is not known here`;
    },
    shape(layer, shape) {
      const { size, scale_factor } = layer.args;
      const sides = mapOf(layer, shape).slice(1);
      const places = sides.map((side, k) =>
        size === null ? Math.floor(side * pair(scale_factor)[k]) : pair(size)[k],
      );
      if (Math.min(...places) < 1) throw new Misfit("leaves no cell", { small: true });
      return [shape[0], ...places];
    },
    axis: (axis, places, layer, k) => resized(axis, places, layer.args, k),
  },
  same,
};

/** Run a shape through layers: a row for each, up to the one that fails. */
const runShapes = (layers, input) => {
  const rows = [];
  let shape = input;
  for (const layer of layers) {
    try {
      const after = KINDS[layer.kind].shape(layer, shape);
      if (after.length === 3 && Math.max(after[1], after[2]) > MOST) {
        throw new Misfit(`makes a map of more than ${count(MOST)} px a side`);
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
    row.parameters = parameters ? parameters(layer.args) : 0;
    row.multAdds = multAdds ? multAdds(layer.args, row.before, row.shape) : 0;
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
    try {
      layers.reduce((shape, layer) => KINDS[layer.kind].shape(layer, shape), [channels, side, side]);
    } catch (failure) {
      if (failure instanceof Misfit) continue;
      throw failure;
    }
    if (found.at(-1)?.[1] === side - 1) found.at(-1)[1] = side;
    else found.push([side, side]);
  }
  return found;
};

// --- reading what people paste -------------------------------------------------------------------

const noLayer = (line) => `Line ${line + 1} cannot be read: it is no layer, such as Conv2d(3, 64, 3).`;
const CONTAINERS = ["Sequential", "ModuleList", "OrderedDict"];

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
  throw new Unreadable(`${text} is no number, and no pair of them`);
};

const NUMBERS = {
  kernel_size: 1, stride: 1, dilation: 1, padding: 0, output_padding: 0, in_channels: 1,
  out_channels: 1, groups: 1, in_features: 1, out_features: 1, num_features: 1, output_size: 1,
};

/** Bind arguments to the parameters of torch's layer of that name. */
const bind = (known, name, given) => {
  const { kind, parameters } = known[name];
  const args = Object.fromEntries(parameters.filter((part) => part.length > 1));
  given.forEach((text, place) => {
    const [, key, value] = text.match(/^([A-Za-z_]\w*)\s*=\s*(.*)$/s) ?? [null, null, text];
    const parameter = key ?? parameters[place]?.[0];
    if (parameter === undefined) throw new Unreadable(`${name} takes fewer arguments`);
    if (!parameters.some(([own]) => own === parameter)) {
      throw new Unreadable(`${name} has no argument ${parameter}`);
    }
    args[parameter] = readValue(value);
  });
  for (const [parameter] of parameters) {
    if (!(parameter in args)) throw new Unreadable(`${name} needs ${parameter}`);
    const value = args[parameter];
    const least = NUMBERS[parameter];
    const isFree = value === null && ["stride", "output_size"].includes(parameter);
    if (least === undefined || isFree || typeof value === "string") continue;
    const single = /^(in|out|num)_|groups/.test(parameter);
    const free = parameter === "output_size" ? [null] : [];
    const most = single ? 1e9 : 4096;
    const isRight = (side) => (whole(side, least) && side <= most) || free.includes(side);
    if (!(single ? [value] : pair(value)).every(isRight)) {
      throw new Unreadable(`${parameter} of ${name} must be a whole number from ${least} to ${most}`);
    }
  }
  const wrong = KINDS[kind].check?.(args);
  if (wrong) throw new Unreadable(`${name}: ${wrong}`);
  return { name, kind, args, windows: args.kernel_size && windows(args) };
};

/** The layers in a text, in order, and what is to be said about them. */
const readLayers = (known, text) => {
  const code = text.split(/\n\s*def forward\b/)[0].replace(/#.*/g, "");
  const lineAt = (place) => code.slice(0, place).split("\n").length;
  const failAt = (place, why) => new Unreadable(`Line ${lineAt(place)} cannot be read: ${why}.`);
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
      if (outer === null && printed) {
        outer = name;
        continue;
      }
      throw failAt(call.index, `${name} is no layer that is known here, and may be no chain`);
    }
    outer ??= "";
    let [end, depth] = [calls.lastIndex, 1];
    for (; depth && end < code.length; end += 1) {
      depth += { "(": 1, ")": -1 }[code[end]] ?? 0;
    }
    if (depth) throw failAt(call.index, `a bracket of ${name} stays open`);
    try {
      const layer = bind(known, name, splitArguments(code.slice(calls.lastIndex, end - 1)));
      const times = Number(before.match(/\b(\d+) x $/)?.[1] ?? 1);
      for (let k = 0; k < times; k += 1) layers.push(layer);
    } catch (error) {
      if (error instanceof Unreadable) throw failAt(call.index, error.message);
      throw error;
    }
    calls.lastIndex = end;
  }
  const rest = code.split("\n").findIndex((line) => /^\s*[A-Z]\w*\s*$/.test(line));
  if (!layers.length || rest >= 0) {
    const line = rest >= 0 ? rest : code.split("\n").findIndex((some) => some.trim());
    throw new Unreadable(noLayer(line));
  }
  const isNetwork = (outer && !CONTAINERS.includes(outer)) || code !== text.replace(/#.*/g, "");
  return isNetwork || /class\s+\w+\(/.test(code) ? asForward(known, layers) : { layers, note: "" };
};

/** Put in the flatten that a printed network has in its forward. */
const asForward = (known, layers) => {
  const place = layers.findIndex(({ kind }) => kind === "linear");
  const flattened = layers.slice(0, Math.max(place, 0)).some(({ kind }) => kind === "flatten");
  const note = "Read as a chain, in the order in which the layers stand; a forward may do otherwise.";
  if (place < 1 || flattened) return { layers, note };
  const flatten = bind(known, "Flatten", []);
  return {
    layers: [...layers.slice(0, place), flatten, ...layers.slice(place)],
    note: `${note} A flatten is put before the first Linear.`,
  };
};

const SUMMARY_ROW = /([A-Z]\w*)(?: \(\w+\))?(?:: (\d+)-\d+|-\d+)\s+(\[.*)$/;

/** The layers of torchinfo's or torchsummary's table, as far as shapes and parameters tell them. */
const readSummary = (known, text) => {
  const columns = text.match(/(Input|Output|Kernel) Shape|Param #/g) ?? [];
  const layers = [];
  let [shape, input] = [null, null];
  text.split("\n").forEach((line, number) => {
    const found = line.match(SUMMARY_ROW);
    if (!found || found[1] === "Sequential") return;
    const fail = (why) => new Unreadable(`Line ${number + 1} cannot be read: ${why}.`);
    const [, name, , rest] = found;
    if (!(name in known)) throw fail(`${name} is no layer that is known here, and may be no chain`);
    const cells = rest.split(/\s{2,}/);
    const cell = (column) => cells[columns.indexOf(column)] ?? "";
    const sizes = (column) => (cell(column).match(/-?\d+/g) ?? []).map(Number);
    const after = sizes("Output Shape").slice(1);
    const before = sizes("Input Shape").length ? sizes("Input Shape").slice(1) : shape;
    const weights = Number(cell("Param #").replace(/\D/g, ""));
    if (name === "Linear" && before?.length === 3) {
      layers.push(bind(known, "Flatten", []));
    }
    try {
      const kernel = sizes("Kernel Shape");
      const layer = fromSummary(known, name, before, after, weights, kernel);
      input ??= before ?? layer.input;
      layers.push(layer);
    } catch (error) {
      throw error instanceof Unreadable ? fail(error.message) : error;
    }
    shape = after;
  });
  if (!layers.length) throw new Unreadable("Line 1 cannot be read: the table has no layers.");
  const note =
    "Read from the shapes in a summary: it does not print strides and paddings, so the usual ones " +
    "that fit were taken.";
  return { layers, note, input: input?.length === 3 ? input : null };
};

const fromSummary = (known, name, before, after, weights, kernel) => {
  const { kind } = known[name];
  const make = (...given) => bind(known, name, given);
  if (kind === "same" || kind === "flatten") {
    const needs = known[name].parameters.filter((part) => part.length === 1);
    return make(...needs.map(() => "1"));
  }
  if (kind === "norm" || kind === "features") return make(String(after[0]));
  if (kind === "adaptive") return make(`(${after.slice(1)})`);
  if (kind === "upsample") return make(`size=(${after.slice(1)})`);
  if (kind === "linear") {
    const [outputs, features] = [after.at(-1), before ? product(before) : null];
    const bias = features === null || weights !== features * outputs;
    const inputs = features ?? (weights - outputs) / outputs;
    return make(String(inputs), String(outputs), ...(bias ? [] : ["bias=False"]));
  }
  if (kind === "convolution") {
    const options = [before?.[0] ?? [3, 1]].flat().flatMap((channels) =>
      [1, channels].flatMap((groups) =>
        [true, false].map((bias) => {
          const each = (after[0] * channels) / groups;
          const cells = (weights - (bias ? after[0] : 0)) / each;
          const side = Math.sqrt(cells);
          const sides = kernel.length === 2 && product(kernel) === cells ? kernel : [side, side];
          return { channels, groups, bias, sides };
        }),
      ),
    );
    const found = options.find(({ sides }) => sides.every((side) => whole(side, 1)));
    if (!found) throw new Unreadable(`${name} has no kernel that gives ${count(weights)} parameters`);
    const { channels, groups, bias, sides } = found;
    const given = before?.slice(1) ?? after.slice(1);
    const fits = given.map((side, k) => windowThatFits(side, after[k + 1], sides[k]));
    const layer = make(
      String(channels), String(after[0]), `(${sides})`, `stride=(${fits.map(([s]) => s)})`,
      `padding=(${fits.map(([, padding]) => padding)})`,
      ...(groups > 1 ? [`groups=${groups}`] : []), ...(bias ? [] : ["bias=False"]),
    );
    return { ...layer, input: [channels, ...given] };
  }
  if (kind === "pool" && before) {
    const usual = before.slice(1).map((side, k) => Math.round(side / after[k + 1]));
    const sides = kernel.length ? [kernel[0], kernel.at(-1)] : usual;
    const fits = sides.map((side, k) => windowThatFits(before[k + 1], after[k + 1], side));
    return make(...[sides, ...[0, 1].map((part) => fits.map((fit) => fit[part]))].map((two) => `(${two})`));
  }
  throw new Unreadable(`the table does not say enough about ${name}`);
};

/** The stride and padding, the usual ones first, with which a window makes `after` of `before`. */
const windowThatFits = (before, after, kernel) => {
  const stride = Math.max(Math.round(before / after), 1);
  const paddings = [Math.floor((kernel - 1) / 2), 0, ...range(0, kernel)];
  const fits = (padding) => placesOf(before, [kernel, stride, padding, 1], {}) === after;
  const padding = paddings.find(fits);
  if (padding === undefined) throw new Unreadable(`no usual window makes ${after} of ${before}`);
  return [stride, padding];
};

/** Layers, a note, and an input if the text tells one. */
const readNetwork = (known, text) =>
  /Output Shape/.test(text) ? readSummary(known, text) : readLayers(known, text);

/** A layer as a line of code, with what differs from torch's defaults. */
const writeLayer = (known, { name, args }) => {
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
const asConvolutions = (known, layers, place, [, ...kernel]) => {
  let isFirst = true;
  const behind = layers.slice(place + 1).map((layer) => {
    if (layer.kind === "same") return layer;
    if (layer.kind === "features") return bind(known, "BatchNorm2d", [`${layer.args.num_features}`]);
    if (layer.kind !== "linear") return null;
    const { in_features, out_features, bias } = layer.args;
    const [channels, sides] = isFirst ? [in_features / product(kernel), kernel] : [in_features, [1, 1]];
    isFirst = false;
    const rest = bias ? [] : ["bias=False"];
    return bind(known, "Conv2d", [`${channels}`, `${out_features}`, `(${sides})`, ...rest]);
  });
  if (behind.includes(null)) return null;
  const ends = [bind(known, "AdaptiveAvgPool2d", ["1"]), bind(known, "Flatten", [])];
  return [...layers.slice(0, place), ...behind, ...ends];
};

/** What can be changed where a stack stops, each tried: it gets further, or it is not offered. */
const repairsOf = (known, layers, input, sizes) => {
  const { rows, failure } = runShapes(layers, input);
  if (!failure) return [];
  const at = rows.length;
  const layer = layers[at];
  const found = [];
  const put = (place, gone, ...others) => layers.toSpliced(place, gone, ...others);
  const offer = (title, note, changed, size = input) =>
    changed && found.push({ title, note, layers: changed, input: size });
  const place = flattenBefore(layers, rows);
  if (layer.kind === "linear" && place >= 0) {
    const { in_features, out_features } = layer.args;
    const map = rows[place].before;
    const wants = mapFor(layers, place, sizes, input, in_features, map);
    if (wants) {
      const pool = bind(known, "AdaptiveAvgPool2d", [`(${wants.slice(1)})`]);
      offer(
        "Adaptive pooling", `Averages every map to ${by(wants.slice(1))} cells; keeps every weight.`,
        put(place, 0, pool),
      );
      if (map.slice(1).every((side, k) => side >= wants[k + 1])) {
        offer(
          "Convolutions",
          `The same weights as a ${by(wants.slice(1))} window that slides; the scores are averaged.`,
          asConvolutions(known, layers, place, wants),
        );
      }
    }
    found.wants = wants;
    found.lost = in_features * out_features;
  }
  if (failure.map) {
    offer("Flatten", "Turns the map into features.", put(at, 0, bind(known, "Flatten", [])));
  }
  const flatten = layers.findLastIndex(({ kind }, index) => kind === "flatten" && index < at);
  if (failure.flat && flatten >= 0) {
    offer("Keep the map", `Removes the flatten of layer ${flatten + 1}.`, put(flatten, 1));
  }
  if (failure.argument && !failure.map) {
    const lost = found.lost ? `: its ${count(found.lost)} trained weights are lost` : "";
    const args = { ...layer.args, [failure.argument]: failure.got };
    const changed = { ...layer, args };
    if (!KINDS[layer.kind].check?.(args)) {
      offer("Change the line", `A fresh layer${lost}; other sizes fail again.`, put(at, 1, changed));
    }
  }
  if (failure.small && layer.kind === "pool") {
    offer("Leave it out", `Removes layer ${at + 1}, ${layer.name}.`, put(at, 1));
  }
  const side = nearestSize(sizes, Math.max(input[1], input[2]));
  if (side !== null) {
    offer("Other images", "The network stays as it is.", layers, [input[0], side, side]);
  }
  const better = found.filter((repair) => {
    const after = runShapes(repair.layers, repair.input);
    repair.stops = after.failure ? after.rows.length : null;
    return !after.failure || after.rows.length > at;
  });
  return Object.assign(better, { wants: found.wants });
};

const total = (rows, name) => rows.reduce((sum, row) => sum + row[name], 0);

// --- the page ------------------------------------------------------------------------------------

const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const sidesOf = (sides) => (sides[0] === sides[1] ? `${sides[0]}` : sides.join("×"));

class VgglabStack extends VgglabFigure {
  show() {
    const { examples, kinds, paste, read, rows, tools, share } = this.parts;
    this.known = this.data.layers;
    this.past = [];
    this.lines = [];
    this.input = [3, 32, 32];
    kinds.append(...Object.keys(this.known).map((name) => make("option", "", name)));
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
      const { layers, note, input } = readNetwork(this.known, text);
      this.change(layers.map((layer) => this.written(layer)), input ?? this.input);
      write(this.parts.said, note || `${layers.length} layers read.`);
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
      write(this.parts.shared, "The address of this page holds the network: copy it.");
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
    const given = this.known[name].parameters
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
        if (!/\)[\s,;]*$/.test(line)) throw new Unreadable(noLayer(row));
        const found = readLayers(this.known, line).layers;
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
    return writeLayer(this.known, layer);
  }

  /** Everything that there is to say about lines of code and an input. */
  answer(lines, input) {
    const { layers, unreadable } = this.layersOf(lines);
    const { rows, failure } = analyse(layers, input);
    const sizes = unreadable ? [] : squareSizes(layers, input[0], this.data.limit);
    const repairs = unreadable ? [] : repairsOf(this.known, layers, input, sizes);
    return { layers, unreadable, rows, failure, sizes, repairs };
  }

  showAnswer() {
    const { layers, unreadable, rows, failure, sizes, repairs } = this.answer(this.lines, this.input);
    this.showCells(layers, rows, failure, unreadable);
    this.showPicture(layers, rows, failure);
    this.showVerdict({ layers, rows, failure, unreadable, sizes, wants: repairs.wants });
    this.showRepairs(repairs);
    this.address = `${this.input.join("x")};${this.lines.map((line) => line.replaceAll(" ", "")).join(";")}`;
    const isStart = !this.past.length && !location.hash && this.address === this.first;
    this.first ??= this.address;
    if (!isStart && this.address !== this.first) location.replace(`#${encodeURI(this.address)}`);
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
        ? [by(shape), parameters ? count(parameters) : "", multAdds ? short.format(multAdds) : "", seen]
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
      const side = isMap ? sidesOf(shape.slice(1)) : short.format(shape[0]);
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
    const counted = wants
      ? ` It was built for ${equal(wants)} and gets ${equal(rows[place].before)}.`
      : "";
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
      const then = stops === null ? "" : ` Then layer ${stops + 1} stops.`;
      const button = make("button", "", input === this.input ? "Do it" : `Use ${sidesOf(input.slice(1))} px`);
      button.ariaLabel = `${title}: ${button.textContent}`;
      button.addEventListener("click", () => this.change(lines, input));
      return make(
        "li", "", make("p", "title", title), make("code", "", [...new Set(added)].join("\n")),
        make("p", "", note + then),
        make("p", "note", `${short.format(total(rows, "parameters"))} parameters, ${short.format(total(rows, "multAdds"))} mult-adds`),
        button,
      );
    };
    this.parts.repairs.replaceChildren(...repairs.map(item));
    this.parts.mend.hidden = repairs.length === 0;
  }
}

VgglabStack.define("vgglab-stack");
