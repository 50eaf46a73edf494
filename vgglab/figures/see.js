// --- a small network, in plain loops; the names are torch's ---------------------------------------

/** Numbers in half precision, from base64. */
const fromHalf = (text) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const halves = new Uint16Array(bytes.buffer);
  return Float32Array.from(halves, (bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
  });
};

const emptyMap = (channels, height, width) => ({
  channels,
  height,
  width,
  data: new Float32Array(channels * height * width),
});

const padded = (map, by) => {
  if (!by) return map;
  const wide = emptyMap(map.channels, map.height + 2 * by, map.width + 2 * by);
  for (let row = 0; row < map.channels * map.height; row += 1) {
    const channel = Math.floor(row / map.height);
    const at = (channel * wide.height + (row % map.height) + by) * wide.width + by;
    wide.data.set(map.data.subarray(row * map.width, (row + 1) * map.width), at);
  }
  return wide;
};

/** A convolution of stride 1; `weight` is (out, in, side, side). */
const convolve = (map, weight, out, side, padding) => {
  const wide = padded(map, padding);
  const result = emptyMap(out, wide.height - side + 1, wide.width - side + 1);
  const { height, width, data: target } = result;
  const { data: source, width: line } = wide;
  let at = 0;
  for (let o = 0; o < out; o += 1) {
    for (let c = 0; c < map.channels; c += 1) {
      for (let y = 0; y < side; y += 1) {
        for (let x = 0; x < side; x += 1) {
          const w = weight[at++];
          for (let row = 0; row < height; row += 1) {
            const from = (c * wide.height + row + y) * line + x;
            const to = (o * height + row) * width;
            for (let k = 0; k < width; k += 1) target[to + k] += w * source[from + k];
          }
        }
      }
    }
  }
  return result;
};

/** What comes after a convolution: a factor and a term for each channel, and a ReLU. */
const scaled = (map, scale, shift, relu) => {
  const cells = map.height * map.width;
  for (let c = 0; c < map.channels; c += 1) {
    for (let k = c * cells; k < (c + 1) * cells; k += 1) {
      const value = map.data[k] * (scale ? scale[c] : 1) + shift[c];
      map.data[k] = relu && value < 0 ? 0 : value;
    }
  }
  return map;
};

const maxPool = (map) => {
  const half = emptyMap(map.channels, map.height >> 1, map.width >> 1);
  let at = 0;
  for (let c = 0; c < map.channels; c += 1) {
    for (let y = 0; y < half.height; y += 1) {
      for (let x = 0; x < half.width; x += 1) {
        const k = (c * map.height + 2 * y) * map.width + 2 * x;
        const { data, width } = map;
        half.data[at++] = Math.max(data[k], data[k + 1], data[k + width], data[k + width + 1]);
      }
    }
  }
  return half;
};

/** The rows of a matrix that averages `size` cells to `places`, as adaptive pooling does. */
const poolRows = (size, places) =>
  Array.from({ length: places }, (_, place) => {
    const first = Math.floor((place * size) / places);
    const stop = Math.ceil(((place + 1) * size) / places);
    return { first, weights: new Array(stop - first).fill(1 / (stop - first)) };
  });

/** The rows of a matrix that resizes as torchvision does: bilinear, with antialiasing. */
const resizeRows = (size, places) => {
  const step = size / places;
  const reach = Math.max(step, 1);
  return Array.from({ length: places }, (_, place) => {
    const centre = step * (place + 0.5);
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const stop = Math.min(Math.trunc(centre + reach + 0.5), size);
    const raw = Array.from({ length: stop - first }, (_, k) =>
      Math.max(1 - Math.abs(first + k - centre + 0.5) / reach, 0),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
};

/** rows @ map @ columns.T for each channel. */
const along = (map, rows, columns) => {
  const across = emptyMap(map.channels, map.height, columns.length);
  for (let line = 0; line < map.channels * map.height; line += 1) {
    columns.forEach(({ first, weights }, x) => {
      let sum = 0;
      weights.forEach((weight, k) => (sum += weight * map.data[line * map.width + first + k]));
      across.data[line * columns.length + x] = sum;
    });
  }
  const result = emptyMap(map.channels, rows.length, columns.length);
  for (let c = 0; c < map.channels; c += 1) {
    rows.forEach(({ first, weights }, y) => {
      const to = (c * rows.length + y) * columns.length;
      weights.forEach((weight, k) => {
        const from = (c * map.height + first + k) * columns.length;
        for (let x = 0; x < columns.length; x += 1) {
          result.data[to + x] += weight * across.data[from + x];
        }
      });
    });
  }
  return result;
};

const pool = (map, side) => along(map, poolRows(map.height, side), poolRows(map.width, side));
const resize = (map, side) => along(map, resizeRows(map.height, side), resizeRows(map.width, side));

const crop = (map, top, left, side) => {
  const part = emptyMap(map.channels, side, side);
  for (let c = 0; c < map.channels; c += 1) {
    for (let y = 0; y < side; y += 1) {
      const from = (c * map.height + top + y) * map.width + left;
      part.data.set(map.data.subarray(from, from + side), (c * side + y) * side);
    }
  }
  return part;
};

// As torchvision's center_crop: Python rounds a half to the even number.
const middle = (size, side) => {
  const low = Math.floor((size - side) / 2);
  return (size - side) % 2 && low % 2 ? low + 1 : low;
};

const logSoftmax = (scores) => {
  const most = Math.max(...scores);
  const log = Math.log(scores.reduce((sum, score) => sum + Math.exp(score - most), 0)) + most;
  return Array.from(scores, (score) => score - log);
};

/** The scores of each cell, as lists. */
const cellsOf = (map) =>
  Array.from({ length: map.height * map.width }, (_, cell) =>
    Array.from({ length: map.channels }, (_, c) => map.data[c * map.height * map.width + cell]),
  );

const mean = (lists) => lists[0].map((_, k) => lists.reduce((sum, list) => sum + list[k], 0) / lists.length);

class Network {
  constructor({ half, layers, head, side, classes }) {
    const weights = fromHalf(half);
    let at = 0;
    for (const layer of [...layers, ...head]) {
      if (layer.kind === "pool") continue;
      const stop = at + layer.out * layer.inputs;
      layer.weight = weights.subarray(at, stop);
      at = stop;
    }
    Object.assign(this, { layers, head, side, classes });
  }

  /** The map after a layer. */
  apply(layer, map) {
    if (layer.kind === "pool") return maxPool(map);
    return scaled(convolve(map, layer.weight, layer.out, 3, 1), layer.scale, layer.shift, true);
  }

  features(image) {
    return this.layers.reduce((map, layer) => this.apply(layer, map), image);
  }

  /** The map after each layer, each told to `goesOn`; null if that says to stop. */
  async maps(picture, goesOn = () => true) {
    const maps = [];
    for (const layer of this.layers) {
      maps.push(this.apply(layer, maps.at(-1) ?? normalised(picture)));
      if (!(await goesOn(maps.at(-1), layer))) return null;
    }
    return maps;
  }

  /** Linear layers as convolutions: `side` is that of the map that the first one reads. */
  scoreMap(map, side = this.side, head = this.head) {
    return head.reduce((scores, { weight, out, shift }, k) => {
      const result = convolve(scores, weight, out, k ? 1 : side, 0);
      return scaled(result, null, shift, k < head.length - 1);
    }, map);
  }

  scores(map) {
    return cellsOf(this.scoreMap(map))[0];
  }

  /** The scores if the pooling of the map and the first layer of the head are one layer. */
  foldedScores(map) {
    const [first, ...rest] = this.head;
    const [rows, columns] = [poolRows(map.height, this.side), poolRows(map.width, this.side)];
    const [side, cells] = [this.side, map.height * map.width];
    const hidden = emptyMap(first.out, 1, 1);
    for (let o = 0; o < first.out; o += 1) {
      let sum = 0;
      for (let c = 0; c < map.channels; c += 1) {
        const filter = new Float64Array(cells); // W' = rows.T @ W @ columns
        const at = (o * map.channels + c) * side * side;
        rows.forEach((row, y) => columns.forEach((column, x) => {
          const w = first.weight[at + y * side + x];
          row.weights.forEach((a, i) => column.weights.forEach((b, j) => {
            filter[(row.first + i) * map.width + column.first + j] += w * a * b;
          }));
        }));
        for (let k = 0; k < cells; k += 1) sum += filter[k] * map.data[c * cells + k];
      }
      hidden.data[o] = Math.max(sum + first.shift[o], 0);
    }
    return [...this.scoreMap(hidden, 1, rest).data];
  }
}

// --- the repairs, by the names that vgglab.lab.repairs has for them --------------------------------

const TRAINED = 28; // pixels a side

const REPAIRS = {
  resize: ({ network, image }) => network.scores(network.features(resize(image, TRAINED))),
  crop: ({ network, image }) => {
    const at = middle(image.height, TRAINED);
    return network.scores(network.features(crop(image, at, at, TRAINED)));
  },
  "five-crops": ({ network, image }) => {
    const [end, at] = [image.height - TRAINED, middle(image.height, TRAINED)];
    const places = [[0, 0], [0, end], [end, 0], [end, end], [at, at]];
    const crops = places.map(([top, left]) => crop(image, top, left, TRAINED));
    return mean(crops.map((part) => network.scores(network.features(part))));
  },
  pool: ({ network, map }) => network.scores(pool(map, network.side)),
  "pool-in-place": ({ network, before }) => network.scores(pool(before, network.side)),
  conv: ({ network, scores }) => mean(cellsOf(scores)),
  "conv-probabilities": ({ scores }) => {
    const cells = cellsOf(scores).map((cell) => logSoftmax(cell).map(Math.exp));
    return mean(cells).map(Math.log);
  },
  fold: ({ network, map }) => network.foldedScores(map),
};
const NEED_ROOM = ["crop", "five-crops", "conv", "conv-probabilities"];

const normalised = (picture) => ({ ...picture, data: picture.data.map((v) => (v / 255 - 0.5) / 0.25) });

// --- the page ------------------------------------------------------------------------------------

const TITLES = { none: "as it is", "network-gap": "global average pooling" };
const PICTURE = 224; // pixels a side, of what is kept of a photograph
const shade = (share) => `rgb(0 0 0 / ${0.8 * (1 - share)})`;
const percent = new Intl.NumberFormat("en-US", { style: "percent", maximumFractionDigits: 0 });

class VgglabSee extends VgglabFigure {
  show() {
    const { pictures, size, number, file, camera, head, label, gap } = this.parts;
    this.networks = {};
    this.size = this.data.start;
    this.data.pictures.forEach(({ name, alt, source }, place) => {
      const image = make("img");
      Object.assign(image, { src: source, alt, width: 64, height: 64 });
      const button = make("button", "", image, make("span", "", name));
      button.addEventListener("click", () => this.choose(source, name));
      pictures.append(button);
      if (!place) this.choose(source, name);
    });
    for (const field of [size, number]) {
      field.addEventListener("input", () => {
        if (!field.validity.valid || !field.value) return;
        this.size = field.valueAsNumber;
        this.update();
      });
    }
    file.addEventListener("change", () => {
      if (file.files.length) this.choose(URL.createObjectURL(file.files[0]), file.files[0].name);
    });
    camera.hidden = !navigator.mediaDevices?.getUserMedia;
    camera.addEventListener("click", () => this.film());
    head.addEventListener("change", () => this.update());
    label.addEventListener("change", () => this.showClassMap());
    gap.addEventListener("click", () => this.update(true));
  }

  /** Take the middle square of a picture from an address. */
  async choose(source, name) {
    const image = new Image();
    image.src = source;
    try {
      await image.decode();
    } catch {
      write(this.parts.state, `${name} is no picture that this browser can read.`);
      return;
    }
    this.take(image, image.naturalWidth, image.naturalHeight, name);
  }

  take(image, width, height, name) {
    const canvas = make("canvas");
    canvas.width = canvas.height = PICTURE;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    const side = Math.min(width, height);
    const [x, y] = [(width - side) / 2, (height - side) / 2];
    context.drawImage(image, x, y, side, side, 0, 0, PICTURE, PICTURE);
    const { data } = context.getImageData(0, 0, PICTURE, PICTURE);
    const cells = PICTURE ** 2;
    this.picture = emptyMap(3, PICTURE, PICTURE);
    for (let k = 0; k < 3 * cells; k += 1) {
      this.picture.data[k] = data[4 * (k % cells) + Math.floor(k / cells)];
    }
    this.name = name;
    this.update();
  }

  /** Show the camera; the next press takes a picture. */
  async film() {
    const { camera, video, state } = this.parts;
    if (this.stream) {
      this.take(video, video.videoWidth, video.videoHeight, "camera");
      this.stream.getTracks().forEach((track) => track.stop());
      this.stream = null;
    } else {
      try {
        this.stream = await navigator.mediaDevices.getUserMedia({ video: true });
        video.srcObject = this.stream;
        await video.play();
      } catch {
        write(state, "The camera cannot be used.");
        return;
      }
    }
    video.hidden = !this.stream;
    write(camera, this.stream ? "Take the picture" : "Camera");
  }

  /** The network with that head; its weights are a script beside the page, read when needed. */
  load(head) {
    this.networks[head] ??= new Promise((resolve, reject) => {
      const script = make("script");
      script.src = this.data.weights[head];
      script.onload = () => resolve(new Network(globalThis.vgglabWeights[head]));
      script.onerror = reject;
      document.head.append(script);
    });
    return this.networks[head];
  }

  /**
   * What each repair says about a picture (3, side, side) of numbers from 0 to 255. `maps` are
   * those of the layers; between two repairs the page may do something else, or say to stop.
   */
  async answersOf(network, picture, maps, goesOn = () => true) {
    const [before, map] = maps.slice(-2);
    const hasRoom = map.height >= network.side;
    const scores = hasRoom ? network.scoreMap(map) : null;
    const about = { network, image: normalised(picture), before, map, scores };
    const answers = { none: map.height === network.side ? network.scores(map) : null };
    for (const [name, repair] of Object.entries(REPAIRS)) {
      if (!(await goesOn())) return null;
      answers[name] = hasRoom || !NEED_ROOM.includes(name) ? repair(about) : null;
    }
    return { answers, scores };
  }

  /** What the network with global average pooling says, and what each of its cells says. */
  gapOf(network, maps) {
    const scores = network.scoreMap(maps.at(-1), 1);
    return { answer: mean(cellsOf(scores)), scores };
  }

  async update(withGap = false) {
    const turn = (this.turn = Symbol("turn"));
    const { size, number, state, head, gap } = this.parts;
    for (const field of [size, number]) {
      if (this.shadowRoot.activeElement !== field || field === size) field.value = this.size;
    }
    size.ariaValueText = `${this.size} pixels`;
    const needed = head.value === "gap" || withGap || this.networks.gap ? ["fc", "gap"] : ["fc"];
    write(state, needed.every((name) => this.networks[name]) ? "Running …" : "Loading the weights …");
    let networks;
    try {
      networks = await Promise.all(needed.map((name) => this.load(name)));
    } catch {
      write(state, "The weights cannot be read: they lie beside this page, in the folder see_weights.");
      return;
    }
    const [network, averaging] = networks;
    gap.hidden = Boolean(averaging);
    if (turn !== this.turn || !this.picture) return;
    const small = resize(this.picture, this.size);
    small.data = small.data.map(Math.round);
    this.small = small;
    this.showPicture();
    this.showVerdict(network);
    const goesOn = async () => {
      await new Promise((resolve) => setTimeout(resolve));
      return turn === this.turn;
    };
    const isGap = head.value === "gap";
    const [shown, other] = isGap ? [averaging, network] : [network, averaging];
    const drawn = await this.showMaps(shown, small, goesOn);
    const others = drawn && other ? await other.maps(small, goesOn) : null;
    if (!drawn || (other && !others)) return;
    const [maps, gapMaps] = isGap ? [others, drawn] : [drawn, others];
    const found = await this.answersOf(network, small, maps, goesOn);
    if (!found) return;
    const { answers, scores } = found;
    const gapAnswer = averaging && this.gapOf(averaging, gapMaps);
    this.shown = isGap
      ? { scores: gapAnswer.scores, reach: 1, answer: gapAnswer.answer }
      : { scores, reach: network.side, answer: answers.conv ?? answers.pool };
    this.showAnswers({ ...answers, ...(gapAnswer && { "network-gap": gapAnswer.answer }) }, network);
    this.showLabels(network);
    this.showClassMap();
    write(state, `${this.name}, ${this.size} × ${this.size} px.`);
  }

  showPicture() {
    const { photo } = this.parts;
    photo.width = photo.height = this.size;
    const context = photo.getContext("2d");
    const pixels = context.createImageData(this.size, this.size);
    const cells = this.size ** 2;
    for (let k = 0; k < cells; k += 1) {
      for (let c = 0; c < 3; c += 1) pixels.data[4 * k + c] = this.small.data[c * cells + k];
      pixels.data[4 * k + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    photo.ariaLabel = `${this.name}, ${this.size} pixels a side`;
  }

  showVerdict({ layers, side, head }) {
    const { figure, verdict, why, message } = this.parts;
    const pools = layers.filter(({ kind }) => kind === "pool").length;
    const cells = this.size >> pools;
    const [channels, wanted] = [layers.findLast(({ out }) => out).out, head[0].inputs];
    const got = channels * cells ** 2;
    const fits = got === wanted;
    figure.classList.toggle("fits", fits);
    write(verdict, fits ? "✓ The network takes it" : "✗ The network stops");
    const map = (sides) => `${channels} × ${sides} × ${sides}`;
    const sizes = `${side << pools} to ${((side + 1) << pools) - 1} px`;
    write(
      why,
      fits
        ? `${map(cells)} = ${wanted} features, as its first linear layer expects.`
        : `It was built for a map of ${map(side)}, and ${map(cells)} comes. Images of ${sizes} fit.`,
    );
    const shapes = `1x${got} and ${wanted}x${head[0].out}`;
    write(message, fits ? "" : `RuntimeError: mat1 and mat2 shapes cannot be multiplied (${shapes})`);
  }

  /** Draw the maps layer by layer, as they come, and return them; null if it was told to stop. */
  async showMaps(network, picture, goesOn) {
    const { maps } = this.parts;
    const list = [];
    const found = await network.maps(picture, (map, layer) => {
      const kind = layer.kind === "pool" ? "max pooling" : "convolution, ReLU";
      const title = `${kind}: ${map.channels} × ${map.height} × ${map.width}`;
      const item = make("li", "", make("span", "", title), this.drawn(map));
      const place = list.push(item) - 1;
      if (maps.children[place]) maps.children[place].replaceWith(item);
      else maps.append(item);
      return goesOn();
    });
    if (found) maps.replaceChildren(...list);
    return found;
  }

  drawn(map, most = 8) {
    const cells = map.height * map.width;
    const sums = Array.from({ length: map.channels }, (_, c) =>
      map.data.subarray(c * cells, (c + 1) * cells).reduce((a, b) => a + b, 0),
    );
    const chosen = [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, most);
    const canvas = make("canvas");
    const gap = Math.max(1, Math.round(map.width / 16));
    canvas.width = most * (map.width + gap) - gap;
    canvas.height = map.height;
    const context = canvas.getContext("2d");
    chosen.forEach((channel, place) => {
      const values = map.data.subarray(channel * cells, (channel + 1) * cells);
      const top = values.reduce((a, b) => Math.max(a, b), 1e-9);
      const pixels = context.createImageData(map.width, map.height);
      values.forEach((value, k) => {
        pixels.data.set([27, 135, 201, (255 * Math.max(value, 0)) / top], 4 * k);
      });
      context.putImageData(pixels, place * (map.width + gap), 0);
    });
    canvas.role = "img";
    canvas.ariaLabel = `The ${most} channels that answer most`;
    return canvas;
  }

  showAnswers(answers, { classes }) {
    const row = ([name, note]) => {
      const scores = answers[name];
      const cell = make("td");
      if (scores) {
        const found = logSoftmax(scores).map((log, k) => [Math.exp(log), classes[k]]);
        for (const [share, word] of found.sort((a, b) => b[0] - a[0]).slice(0, 3)) {
          const bar = make("span", "bar", `${word} ${percent.format(share)}`);
          bar.style.setProperty("--share", share);
          cell.append(bar);
        }
      } else {
        cell.append(make("span", "none", this.missing(name)));
      }
      const words = make("span", "", TITLES[name] ?? name.replaceAll("-", " "));
      const title = make("th", "", words, make("span", "note", note));
      title.scope = "row";
      return make("tr", "", title, cell);
    };
    this.answers = answers;
    this.parts.answers.replaceChildren(...Object.entries(this.data.repairs).map(row));
  }

  missing(name) {
    if (name === "none") return "✗ stops";
    return name === "network-gap" ? "not loaded" : `needs ${TRAINED} px or more`;
  }

  showLabels({ classes }) {
    const { label } = this.parts;
    const { answer } = this.shown;
    const best = answer.indexOf(Math.max(...answer));
    if (!label.children.length) {
      const first = make("option", "");
      first.value = "";
      label.append(first, ...classes.map((word) => make("option", "", word)));
    }
    write(label.children[0], `its answer: ${classes[best]}`);
    this.best = best;
  }

  /** Draw over the picture how sure each cell of the map of scores is of the class. */
  showClassMap() {
    const { over, label, about } = this.parts;
    const { scores, reach } = this.shown;
    over.width = over.height = this.size;
    const context = over.getContext("2d");
    const chosen = label.selectedIndex > 0 ? label.selectedIndex - 1 : this.best;
    if (!scores) {
      write(about, `No map of scores: the picture is smaller than the ${TRAINED} px that one cell sees.`);
      return;
    }
    const step = 4; // two poolings
    const first = (step * (reach - 1)) / 2;
    context.fillStyle = shade(0);
    context.fillRect(0, 0, this.size, this.size);
    cellsOf(scores).forEach((cell, k) => {
      const [x, y] = [k % scores.width, Math.floor(k / scores.width)].map((at) => first + step * at);
      context.clearRect(x, y, step, step);
      context.fillStyle = shade(Math.exp(logSoftmax(cell)[chosen]));
      context.fillRect(x, y, step, step);
    });
    write(
      about,
      `${scores.height} × ${scores.width} answers, drawn over the middle of what each one reads: ` +
        `the lighter, the surer of “${label.options[chosen + 1].text}”.`,
    );
  }
}

VgglabSee.define("vgglab-see");
