const NARROW = 41; // rem
const PAUSE = 500; // ms without a change before the box is announced
const ZOOM = 1.25; // of the field's side, what the squares of the steps show
const BEAT = 900; // ms from a layer to the next while it plays
const LINES = 28; // most cells in a row whose borders are drawn

const square = (side) => `${side} × ${side}`;
const range = (from, to) => {
  if (from === to) return String(from);
  return from < 0 ? `−${-from} to ${to}` : `${from}–${to}`;
};
const clamp = (number, least, most) => Math.min(Math.max(number, least), most);

/**
 * What a cell sees of a map along one axis: `size` places between `from` and `to` as if the map had
 * no border, and those between `first` and `last` of the map itself.
 */
const look = ([size, stride, padding, first, last], cell) => {
  const from = cell * stride - padding;
  return { size, from, to: from + size - 1, first: first[cell], last: last[cell] };
};
const itself = (cell) => ({ size: 1, from: cell, to: cell, first: cell, last: cell });

/** Give a node its place within its parent, whose sides are 1. */
const put = (node, left, top, width, height = width) => {
  const sides = { left, top, width, height };
  for (const [side, part] of Object.entries(sides)) node.style[side] = `${100 * part}%`;
};

/** Hatch what of a box lies beyond the border: cut the rest out of the node that stands for it. */
const cutOut = (node, rows, columns) => {
  const ends = ({ size, from, first, last }) =>
    [first - from, last + 1 - from].map((place) => `${(100 * place) / size}%`);
  const [[top, bottom], [left, right]] = [ends(rows), ends(columns)];
  node.style.clipPath = `polygon(evenodd, 0% 0%, 100% 0%, 100% 100%, 0% 100%, 0% 0%,
    ${left} ${top}, ${right} ${top}, ${right} ${bottom}, ${left} ${bottom}, ${left} ${top})`;
};

class VgglabFieldExplorer extends VgglabFigure {
  show() {
    const { config, configs, start } = this.data;
    for (const [name, { title }] of Object.entries(configs)) {
      this.parts.config.append(new Option(title, name, name === config, name === config));
    }
    [this.name, ...this.place] = start;
    this.photo = new Image();
    this.photo.addEventListener("load", () => this.showPhoto());
    this.photo.src = this.data.photo;
    this.step = 1;
    this.listen();
    this.showConfig();
    // On a narrow page the map stands above the image, as wide as the page.
    new ResizeObserver(([{ contentRect: { width } }]) => {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      const stacked = width > 0 && width < NARROW * rem;
      if (stacked === Boolean(this.stacked)) return;
      this.stacked = stacked;
      this.parts.figure.classList.toggle("stacked", stacked);
      this.showLayer(this.layer);
    }).observe(this.parts.figure);
  }

  disconnectedCallback() {
    this.stop?.();
  }

  listen() {
    const { config, layer, depth, row, column, map } = this.parts;
    config.addEventListener("input", () => this.showConfig());
    layer.addEventListener("input", () => this.showLayer(layer.selectedIndex + 1));
    depth.addEventListener("input", () => this.showLayer(depth.valueAsNumber));
    [row, column].forEach((field, axis) => {
      field.addEventListener("input", () => {
        const { valueAsNumber: cell } = field;
        if (Number.isInteger(cell) && cell === this.within(cell)) this.move(axis, cell);
      });
      field.addEventListener("change", () => {
        if (field.value !== "") this.move(axis, this.within(Math.round(field.valueAsNumber)));
        field.value = this.cell[axis];
      });
    });
    map.addEventListener("keydown", (event) => this.press(event));
    // A mouse that points shows a cell; a press chooses it, and goes on while it is held.
    const choose = (event) => this.under(event).forEach((cell, axis) => this.move(axis, cell));
    map.addEventListener("pointerdown", (event) => {
      map.setPointerCapture(event.pointerId);
      choose(event);
    });
    map.addEventListener("pointermove", (event) => {
      if (map.hasPointerCapture(event.pointerId)) choose(event);
      else if (event.pointerType === "mouse") this.showCell(this.under(event));
    });
    map.addEventListener("pointerleave", () => this.showCell(this.cell));
    const { all, step, steps, play, playsteps } = this.parts;
    all.addEventListener("input", () => steps.classList.toggle("one", !all.checked));
    step.addEventListener("input", () => this.showStep(step.valueAsNumber));
    play.addEventListener("click", () => this.play(play, depth));
    playsteps.addEventListener("click", () => this.play(playsteps, step));
  }

  /** Move a slider on by itself, from where it is to its end; a second press stops it. */
  play(button, slider) {
    const isOn = this.playing === button;
    this.stop?.();
    if (isOn) return;
    this.playing = button;
    button.textContent = "Stop";
    const advance = () => {
      if (slider.value === slider.max) return this.stop();
      slider.stepUp();
      return slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
    if (slider.value === slider.max) {
      slider.value = slider.min;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const timer = setInterval(advance, BEAT);
    const byHand = ({ isTrusted }) => isTrusted && this.stop();
    slider.addEventListener("input", byHand);
    this.stop = () => {
      clearInterval(timer);
      slider.removeEventListener("input", byHand);
      button.textContent = "Play";
      this.playing = null;
      this.stop = null;
    };
  }

  within(cell) {
    return clamp(cell, 0, this.side - 1);
  }

  /** Return the cell under the pointer. */
  under({ clientX, clientY }) {
    const { left, top, width, height } = this.parts.map.getBoundingClientRect();
    return [(clientY - top) / height, (clientX - left) / width].map((part) =>
      this.within(Math.floor(part * this.side)),
    );
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [row, column] = this.cell;
    const end = this.side - 1;
    const moves = {
      ArrowUp: [0, row - 1],
      ArrowDown: [0, row + 1],
      ArrowLeft: [1, column - 1],
      ArrowRight: [1, column + 1],
      PageUp: [0, 0],
      PageDown: [0, end],
      Home: [1, 0],
      End: [1, end],
    };
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    const [axis, cell] = moves[event.key];
    this.move(axis, this.within(cell));
  }

  /** Lay out the layers of the chosen configuration. */
  showConfig() {
    const { axes, configs } = this.data;
    const { config, layer, depth, bars, stages, figure } = this.parts;
    ({ maps: this.maps, seen: this.seen } = configs[config.value]);
    const [[, , , side], ...layers] = this.maps;
    const fields = this.seen.slice(1).map(([index]) => axes[index]);
    const sizes = fields.map(([size]) => size);

    layer.replaceChildren(...layers.map(([name]) => new Option(name)));
    depth.max = layers.length;
    figure.style.setProperty("--layers", layers.length);
    figure.style.setProperty("--largest", Math.max(...sizes));
    figure.style.setProperty("--image", side);
    this.bars = layers.map(([name], index) => {
      const bar = make("div", "bar", make("span", "", String(sizes[index])));
      bar.classList.toggle("pool", name.startsWith("pool"));
      bar.style.setProperty("--size", sizes[index]);
      return bar;
    });
    bars.replaceChildren(...this.bars, make("div", "image"));
    // A pooling ends its stage.
    const ends = layers.flatMap(([name], index) => (name.startsWith("pool") ? [index + 1] : []));
    stages.replaceChildren(
      ...[...ends, layers.length].map((end, index) => {
        const word = make("span", "word", "stage ");
        const stage = make("span", "", ...(ends[index] ? [word, index + 1] : [layers.at(-1)[0]]));
        stage.style.flexGrow = end - (ends[index - 1] ?? 0);
        return stage;
      }),
    );
    this.margin = Math.max(...fields.map(([, , padding]) => padding));
    this.showLayer(
      Math.max(
        layers.findIndex(([name]) => name === this.name),
        0,
      ) + 1,
    );
  }

  /** Put map and image side by side, or one above the other; fields reach `margin` px further. */
  layOutScene(side, margin) {
    const { scene, map, image, lines, mapname, imagename } = this.parts;
    const gap = 0.15 * side;
    const whole = side + 2 * margin;
    if (this.stacked) {
      this.scene = { width: whole, height: 2 * whole + gap };
      this.origin = { left: margin, top: whole + gap + margin };
      this.mapBox = { left: 0, top: 0, side: whole };
    } else {
      this.scene = { width: side + gap + whole, height: whole };
      this.origin = { left: side + gap + margin, top: margin };
      this.mapBox = { left: 0, top: margin, side };
    }
    scene.style.aspectRatio = `${this.scene.width} / ${this.scene.height}`;
    lines.setAttribute("viewBox", `0 0 ${this.scene.width} ${this.scene.height}`);
    this.putInScene(map, this.mapBox.left, this.mapBox.top, this.mapBox.side);
    this.putInScene(image, this.origin.left, this.origin.top, side);
    this.nameInScene(mapname, 0, this.mapBox.top);
    write(imagename, `image: ${square(side)}`);
  }

  /** Draw the photograph with as many cells as each map has. */
  showPhoto() {
    if (!this.photo.naturalWidth) return;
    const { mapphoto, imagephoto } = this.parts;
    const draw = (canvas, side) => {
      canvas.width = canvas.height = side;
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(this.photo, 0, 0, side, side);
    };
    draw(imagephoto, this.maps[0][3]);
    draw(mapphoto, this.side);
    this.steps.forEach(({ canvas }, index) => draw(canvas, this.maps[index][3]));
  }

  putInScene(node, left, top, width, height = width) {
    const { width: x, height: y } = this.scene;
    put(node, left / x, top / y, width / x, height / y);
  }

  nameInScene(node, left, top) {
    node.style.left = `${(100 * left) / this.scene.width}%`;
    node.style.bottom = `${100 * (1 - top / this.scene.height)}%`;
  }

  /** Show a layer, and of its cells the one at the same place in the image as before. */
  showLayer(layer) {
    const { depth, layer: select, row, column, map, mapname, reach, heading } = this.parts;
    const [name, , , side] = this.maps[layer];
    Object.assign(this, { layer, name, side });
    // What a cell sees along an axis, of the image and of each map up to its own.
    const axes = this.seen[layer].map((index) => this.data.axes[index]);
    this.look = (cell) => [...axes.map((axis) => look(axis, cell)), itself(cell)];
    const [size, stride, padding] = axes[0];
    this.layOutScene(this.maps[0][3], this.stacked ? padding : this.margin);

    select.selectedIndex = layer - 1;
    depth.value = layer;
    depth.ariaValueText = `${name}, field ${square(size)}`;
    write(this.parts.size, `${size} px at ${name}`);
    this.bars.forEach((bar, index) => bar.classList.toggle("chosen", index === layer - 1));
    row.max = column.max = side - 1;
    map.style.setProperty("--side", side);
    map.classList.toggle("grid", side <= LINES);
    map.ariaLabel = `Cell of ${name}, ${square(side)}`;
    map.ariaValueMax = side * side - 1;
    write(mapname, `${name}: ${square(side)}`);
    const [{ from }, { to }] = [look(axes[0], 0), look(axes[0], side - 1)];
    const [left, top] = [this.origin.left + from, this.origin.top + from];
    this.putInScene(reach, left, top, to + 1 - from);
    this.nameInScene(this.parts.imagename, left, top);
    write(this.parts.stride, `${stride} px from a cell to the next`);
    write(this.parts.padding, `${padding} px, by which cell (0, 0) reaches over the edge`);
    write(heading, `From ${name} back to the image`);
    this.layOutSteps(axes.map(([axisSize]) => axisSize));
    this.showStep(this.step);
    this.showPhoto();
    this.cell = this.place.map((place) => Math.floor(place * side));
    this.showCell(this.cell);
    this.announce();
  }

  /** Make a square for each map that is seen, and say how many of its cells are. */
  layOutSteps(sizes) {
    const counts = [...sizes, 1];
    this.steps = this.maps.slice(0, this.layer + 1).map(([name, , , side], index) => {
      const parts = ["map", "beyond", "seen", "before"].map((part) => make("span", part));
      const [map, beyond, seen, before] = parts;
      map.style.setProperty("--side", side);
      const [canvas, grid] = [make("canvas"), make("span", "lines")];
      map.append(canvas, grid);
      const lens = make("div", "lens", ...parts);
      lens.ariaHidden = "true";
      const [rows, columns] = [make("p"), make("p")];
      const title = make("p", "title", name, " ", make("span", "note", square(side)));
      const item = make("li", "step", title, lens, rows, columns);
      if (index < this.layer) {
        const [reader, kernel, stride] = this.maps[index + 1];
        // A convolution moves by one cell, a pooling by its own side.
        const more = stride === 1 ? `+ ${kernel - 1}` : `· ${stride}`;
        const sum = `${counts[index + 1]} ${more} = ${counts[index]}`;
        rows.before(make("p", "note", `${reader}, ${square(kernel)}:`), make("p", "sum", sum));
      } else {
        rows.before(make("p", "note", "one cell:"), make("p", "sum", "1"));
      }
      return { item, canvas, map, beyond, seen, before, rows, columns };
    });
    this.parts.steps.replaceChildren(...this.steps.map(({ item }) => item).reverse());
  }

  /** Of the way back to the image show one step; 0 is the cell itself. */
  showStep(chosen) {
    const { step } = this.parts;
    this.step = chosen;
    const shown = Math.min(chosen, this.layer);
    step.max = this.layer;
    step.value = shown;
    step.ariaValueText = this.maps[this.layer - shown][0];
    this.steps.forEach(({ item }, index) => {
      item.classList.toggle("shown", index === this.layer - shown);
    });
  }

  /** Choose another row (axis 0) or column (axis 1) of the map. */
  move(axis, cell) {
    this.cell = this.cell.map((old, index) => (index === axis ? cell : old));
    this.place = this.cell.map((place) => (place + 0.5) / this.side);
    this.showCell(this.cell);
    this.announce();
  }

  /** Show what a cell sees; it need not be the chosen one. */
  showCell([i, j]) {
    const { row, column, map } = this.parts;
    const [rows, columns] = [this.look(i), this.look(j)];
    for (const [field, cell] of [
      [row, i],
      [column, j],
    ]) {
      if (this.shadowRoot.activeElement !== field) field.value = cell;
    }
    map.ariaValueNow = i * this.side + j;
    map.ariaValueText = `row ${i}, column ${j}`;
    this.showScene(i, j, rows[0], columns[0]);
    this.showNumbers(i, j, rows[0], columns[0]);
    this.showSteps(rows, columns);
  }

  showScene(i, j, rows, columns) {
    const { rowhair, columnhair, cell, beyond, seen, beam } = this.parts;
    const { left, top } = this.origin;
    const part = 1 / this.side;
    put(rowhair, 0, i * part, 1, part);
    put(columnhair, j * part, 0, part, 1);
    put(cell, j * part, i * part, part);
    this.putInScene(beyond, left + columns.from, top + rows.from, columns.size, rows.size);
    this.putInScene(
      seen,
      left + columns.first,
      top + rows.first,
      columns.last + 1 - columns.first,
      rows.last + 1 - rows.first,
    );
    cutOut(beyond, rows, columns);
    const box = this.mapBox;
    const unit = box.side * part;
    const [x, y] = [box.left + j * unit, box.top + i * unit];
    beam.setAttribute(
      "d",
      this.stacked
        ? `M${x} ${y + unit} L${left + columns.from} ${top + rows.from}
           H${left + columns.to + 1} L${x + unit} ${y + unit} Z`
        : `M${x + unit} ${y} L${left + columns.from} ${top + rows.from}
           V${top + rows.to + 1} L${x + unit} ${y + unit} Z`,
    );
  }

  showNumbers(i, j, rows, columns) {
    const { summary, numbers } = this.parts;
    const shown = [rows, columns].map(({ first, last }) => last + 1 - first).join(" × ");
    const beyond = (axis, before, after) =>
      [
        [axis.first - axis.from, before],
        [axis.to - axis.last, after],
      ]
        .filter(([count]) => count)
        .map(([count, where]) => `${count} ${where}`)
        .join(", ") || "none";
    write(summary, `Cell (${i}, ${j}) of ${this.name} sees ${shown} pixels`);
    const cells = [
      [range(rows.from, rows.to), range(columns.from, columns.to), square(rows.size)],
      [range(rows.first, rows.last), range(columns.first, columns.last), shown],
      [beyond(rows, "above", "below"), beyond(columns, "left", "right"), ""],
    ].flat();
    numbers.querySelectorAll("tbody td").forEach((node, index) => write(node, cells[index]));
  }

  showSteps(rows, columns) {
    const whole = this.maps[0][3];
    // All squares show the same part of the image, around the box.
    const width = ZOOM * rows[0].size;
    const [top, left] = [rows[0], columns[0]].map(({ from, to }) => (from + to + 1 - width) / 2);
    this.steps.forEach(({ map, beyond, seen, before, ...step }, index) => {
      const unit = whole / this.maps[index][3];
      const [vertical, horizontal] = [rows[index], columns[index]];
      const place = (node, { from: y, to: bottom }, { from: x, to: right }, scale = unit) =>
        put(
          node,
          (x * scale - left) / width,
          (y * scale - top) / width,
          ((right + 1 - x) * scale) / width,
          ((bottom + 1 - y) * scale) / width,
        );
      const visible = ({ first: from, last: to }) => ({ from, to });
      const all = { from: 0, to: this.maps[index][3] - 1 };
      place(map, all, all);
      map.classList.toggle("grid", width / unit <= LINES);
      place(beyond, vertical, horizontal);
      cutOut(beyond, vertical, horizontal);
      place(seen, visible(vertical), visible(horizontal));
      const inner = Math.min(index + 1, this.layer);
      place(before, rows[inner], columns[inner], whole / this.maps[inner][3]);
      const text = (name, { size, first, last }) => {
        const more = size - (last + 1 - first);
        // No template within a template: what makes published scripts light would cut its blanks.
        return `${name} ${range(first, last)}` + (more ? " +\u00a0" + more : "");
      };
      write(step.rows, text(vertical.size > 1 ? "rows" : "row", vertical));
      write(step.columns, text(horizontal.size > 1 ? "columns" : "column", horizontal));
    });
  }

  /** Say what the chosen cell sees, once its place has stayed the same for a while. */
  announce() {
    clearTimeout(this.pause);
    this.pause = setTimeout(() => {
      const [rows, columns] = this.cell.map((cell) => this.look(cell)[0]);
      const [vertical, horizontal] = [rows, columns].map(({ first, last }) => range(first, last));
      const seen = `rows ${vertical}, columns ${horizontal}`;
      write(this.parts.announcement, `${this.parts.summary.textContent}: ${seen}`);
    }, PAUSE);
  }
}

VgglabFieldExplorer.define("vgglab-field-explorer");
