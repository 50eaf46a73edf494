const PIXELS = 224; // most that a picture is drawn with

/** What a repair makes of an input: the sides after each pooling, and what the FC layers give. */
const follow = ({ pool: [kernel, stride], fc6, classifier, levels }, repair, input) => {
  const least = fc6.side * stride ** 5;
  const trained = [least, least];
  const expected = fc6.channels * fc6.side ** 2;
  const sizes = classifier.map(([, size]) => size);
  const scores = sizes.at(-1);
  // What the first layer reads: the image, or what the repair makes of it.
  const image = repair === "resize" || repair === "crop" ? trained : input;
  const stages = [image];
  for (let stage = 0; stage < 5; stage += 1) {
    stages.push(stages.at(-1).map((side) => Math.max(Math.floor((side - kernel) / stride) + 1, 0)));
  }
  const map = stages.at(-1);
  const features = fc6.channels * product(map);
  const found = { image, stages, map, features, error: "", fails: null };
  const stop = (error, fails) => ({ ...found, error, fails, answer: "fails", layers: [] });
  if (repair === "crop" && Math.min(...input) < least) {
    return stop(`The image is smaller than the ${by(trained)} px that are cut out.`, 0);
  }
  if (features === 0) {
    const after = stages.findIndex((sides) => product(sides) === 0);
    return { ...stop("", after), tooSmall: true };
  }
  const flat = (first, rest) => ({
    ...found, answer: `${scores} scores`, layers: [first, ...rest],
  });
  const places = map.map((side) => side - fc6.side + 1);
  switch (repair) {
    case "conv":
      if (Math.min(...places) < 1) {
        return stop(`A window of ${by([fc6.side, fc6.side])} cells does not fit on ${by(map)}.`, 6);
      }
      return {
        ...found,
        answer: `${scores} scores at ${by(places)} places`,
        layers: ["none", ...sizes.map((size) => by([count(size), ...places]))],
      };
    case "gap":
      return flat(fc6.channels, ["removed", "removed", scores]);
    case "spp":
      return flat(fc6.channels * levels.reduce((sum, level) => sum + level ** 2, 0), sizes);
    case "fold":
    case "new-first":
      return flat(features, sizes);
    case "pool":
      return flat(expected, sizes);
    default:
      if (features === expected) {
        return { ...flat(features, sizes), byAccident: map[0] !== map[1] };
      }
      return stop(
        `RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x${features} and ${expected}x${sizes[0]})`,
        6,
      );
  }
};

class VgglabExplorer extends VgglabFigure {
  show() {
    this.size = this.data.start;
    this.repair = "none";
    this.fillControls();
    this.listen();
    this.showConfig();
    this.photo = new Image();
    this.photo.addEventListener("load", () => this.showPictures());
    this.photo.src = this.data.photo;
  }

  fillControls() {
    const { config, configs, examples, fc6, most, repairs, slider, pool } = this.data;
    const { config: select, examples: buttons, repairs: rows } = this.parts;
    for (const [name, { title }] of Object.entries(configs)) {
      select.append(new Option(title, name, name === config, name === config));
    }
    this.fields = [this.parts.height, this.parts.width];
    this.sliders = [this.parts.heights, this.parts.widths];
    for (const control of [...this.fields, ...this.sliders]) control.min = 1;
    for (const field of this.fields) field.max = most;
    for (const range of this.sliders) range.max = slider;
    for (const size of examples) {
      const text = size[0] === size[1] ? `${size[0]}` : by(size);
      const button = make("button", "", text);
      Object.assign(button, { type: "button", value: by(size), ariaLabel: `${by(size)} pixels` });
      buttons.append(button);
    }
    // The slider's track shows which sides give the same map.
    this.scale = pool[1] ** 5;
    this.bands = [...this.shadowRoot.querySelectorAll(".bands")];
    for (const track of this.bands) {
      for (let least = 1; least <= slider; least += this.scale - (least % this.scale)) {
        const map = Math.floor(least / this.scale);
        const band = make("span", "band", make("span", "", String(map)));
        band.style.flexGrow = Math.min((map + 1) * this.scale, slider + 1) - least;
        band.classList.toggle("fits", map === fc6.side);
        track.append(band);
      }
    }
    this.choices = repairs.map(([name, title]) => {
      const radio = make("input");
      Object.assign(radio, { type: "radio", name: "repair", value: name, checked: name === "none" });
      const head = make("th", "", make("label", "", radio, " ", title));
      head.scope = "row";
      const [answer, kept] = [make("td"), make("td")];
      rows.append(make("tr", "", head, answer, kept));
      return { answer, kept };
    });
    write(this.parts.expects, this.factors([fc6.side, fc6.side]));
    write(this.parts.frame, by([fc6.side, fc6.side]));
    this.parts.figure.style.setProperty("--expected", fc6.side);
  }

  factors(map) {
    const { channels } = this.data.fc6;
    return `${[channels, ...map].join(" · ")} = ${count(channels * product(map))}`;
  }

  listen() {
    const { config, square, examples, repairs, scaled, stages } = this.parts;
    config.addEventListener("input", () => this.showConfig());
    const take = (axis, side) =>
      this.showSize(square.checked ? [side, side] : this.size.with(axis, side));
    this.fields.forEach((field, axis) => {
      field.addEventListener("input", () => {
        this.complain();
        if (field.validity.valid && field.value) take(axis, field.valueAsNumber);
      });
      field.addEventListener("change", () => this.complain());
    });
    this.sliders.forEach((range, axis) => {
      range.addEventListener("input", () => take(axis, range.valueAsNumber));
    });
    square.addEventListener("input", () => take(1, this.size[0]));
    examples.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.showSize(button.value.split(" × ").map(Number));
    });
    repairs.addEventListener("input", ({ target }) => {
      this.repair = target.value;
      this.showSize(this.size);
    });
    scaled.addEventListener("input", () => stages.classList.toggle("scaled", scaled.checked));
  }

  /** Say what is shown where a field holds no side. */
  complain() {
    const wrong = this.fields.filter(({ value, validity }) => !value || !validity.valid);
    for (const field of this.fields) field.ariaInvalid = String(wrong.includes(field));
    write(
      this.parts.limits,
      wrong.length
        ? `A side is a whole number from 1 to ${this.data.most}. Shown is ${by(this.size)}.`
        : "px",
    );
  }

  /** Lay out the layers of the chosen configuration. */
  showConfig() {
    const { configs, classifier } = this.data;
    const row = (name, kernel = "") => {
      const value = make("dd");
      const title = make("dt", "", name, " ", make("span", "kernel", kernel));
      return [make("div", name.startsWith("pool") ? "pool" : "", title, value), value];
    };
    const column = (title, rows) => {
      const sum = make("p", "sum");
      const [canvas, lastRow, lastColumn] = [make("canvas"), ...["row", "column"].map(
        (name) => make("span", `dropped ${name}`))];
      const picture = make("div", "photo", canvas, lastRow, lastColumn);
      picture.ariaHidden = "true";
      const list = make("dl", "", ...rows.map(([node]) => node));
      const heading = make("p", "title", title);
      const item = make("li", "stage", make("div", "picture", sum, picture), heading, list);
      const values = rows.map(([, value]) => value);
      return { item, sum, picture, canvas, lastRow, lastColumn, values };
    };
    this.stages = configs[this.parts.config.value].stages;
    this.columns = this.stages.map((layers, index) =>
      column(
        `Stage ${index + 1}`,
        layers.map(([name, kernel]) => row(name, kernel)),
      ),
    );
    const names = ["flatten", ...classifier.map(([name]) => name)];
    this.columns.push(
      column(
        "Classifier",
        names.map((name) => row(name)),
      ),
    );
    this.parts.stages.replaceChildren(...this.columns.map(({ item }) => item));
    this.showSize(this.size);
  }

  /** Show an input of some height and width. */
  showSize(size) {
    this.size = size;
    const { square, examples, widthfield, widthtrack } = this.parts;
    if (size[0] !== size[1]) square.checked = false;
    widthtrack.hidden = square.checked;
    widthfield.hidden = square.checked;
    write(this.parts.heightname, square.checked ? "Side" : "Height");
    this.fields.forEach((field, axis) => {
      if (this.shadowRoot.activeElement !== field) field.value = size[axis];
    });
    this.sliders.forEach((range, axis) => {
      range.value = size[axis];
      range.ariaValueText = `${size[axis]} pixels`;
    });
    this.complain();
    for (const button of examples.children) button.ariaPressed = String(button.value === by(size));
    const found = follow(this.data, this.repair, size);
    this.bands.forEach((track, axis) => {
      const own = Math.floor(size[axis] / this.scale);
      [...track.children].forEach((band, map) => band.classList.toggle("current", map === own));
    });
    this.found = found;
    this.showStages(found);
    this.showVerdict(found);
    this.showRepairs();
    this.showPictures();
  }

  showStages({ stages, features, layers, fails }) {
    this.columns.forEach(({ item, sum, picture, lastRow, lastColumn, values }, index) => {
      const sides = stages[index];
      const before = stages[index - 1];
      const isSquare = sides[0] === sides[1];
      const words = ([height, width]) => (isSquare && height === width ? height : by([height, width]));
      const largest = Math.max(...sides, 1);
      const { style } = picture;
      style.setProperty("--height", sides[0] / largest);
      style.setProperty("--width", sides[1] / largest);
      style.setProperty("--share", largest / Math.max(...stages[0]));
      const whole = isSquare ? `${words(before ?? [])} ÷ 2` : "÷ 2";
      write(sum, before ? `${whole} = ${words(sides)}` : `input ${words(sides)}`);
      [lastRow, lastColumn].forEach((mark, axis) => {
        const [isLast, side] = [index === 5, sides[axis]];
        mark.hidden = isLast || side % 2 === 0;
        mark.style.setProperty("--part", `${100 / side}%`);
      });
      const rest = before ? ["row", "column"].filter((_, axis) => before[axis] % 2) : [];
      if (rest.length) sum.append(`\nlast ${rest.join(" and ")} dropped`);
      this.stages[index]?.forEach(([name, , channels], layer) => {
        const isPool = name.startsWith("pool");
        const stops = fails !== null && fails <= index;
        const text = by([channels, ...(isPool ? stages[index + 1] : sides)]);
        const here = isPool && fails === index + 1 && product(stages[index + 1]) === 0;
        write(values[layer], stops ? "not reached" : here ? "✗ stops here" : text);
      });
      item.classList.toggle("wrong", index === 5 && fails === 6);
    });
    const texts = [
      fails === 6 ? features : "not reached",
      fails === 6 ? "✗ stops here" : "not reached",
      "not reached",
      "not reached",
    ];
    const shown = fails === null ? layers : texts;
    this.columns.at(-1).values.forEach((value, place) => {
      const text = shown[place];
      write(value, typeof text === "number" ? count(text) : text);
    });
  }

  showVerdict({ stages, map, error, fails, tooSmall, byAccident, answer }) {
    const { figure, verdict, message, gives, same, map: name, grid, outside } = this.parts;
    const { fc6, configs } = this.data;
    const isRight = fails === null && !byAccident;
    figure.classList.toggle("fits", isRight);
    const title = this.data.repairs.find(([other]) => other === this.repair)[1];
    const plain = this.repair === "none";
    if (tooSmall) write(verdict, `✗ Too small: pool${fails} has nothing to give`);
    else if (fails !== null) write(verdict, plain ? "✗ Does not fit" : `✗ ${title}: it fails`);
    else if (byAccident) write(verdict, "✗ Runs without an error, and is wrong");
    else write(verdict, plain ? "✓ Fits" : `✓ ${title}: it runs`);
    let text = error;
    if (tooSmall) {
      const stage = configs[this.parts.config.value].stages[fails - 1];
      const sizes = stages.slice(fails - 1, fails + 1).map((sides) => [stage.at(-1)[2], ...sides].join("x"));
      text = `RuntimeError: Given input size: (${sizes[0]}). Calculated output size: (${sizes[1]}). Output size is too small`;
    } else if (byAccident) {
      text = `The number of features is right, but fc6 was trained on ${by([fc6.side, fc6.side])} cells and gets ${by(map)}.`;
    } else if (fails === null) {
      text = plain ? "fc6 gets as many features as it expects." : `The answer: ${answer}.`;
    }
    write(message, text);
    message.classList.toggle("error", text.startsWith("RuntimeError"));
    write(gives, this.factors(map));
    const same_ = this.size.map((side) => {
      const least = Math.floor(side / this.scale) * this.scale;
      return `${Math.max(least, 1)} to ${least + this.scale - 1}`;
    });
    write(same, `${same_[0] === same_[1] ? same_[0] : same_.join(" × ")} px`);
    write(name, by(map));
    // As large as there is room for, and the cells of both maps alike.
    const cell = Math.min(0.6, 10 / Math.max(...map, 1));
    grid.style.setProperty("--cell", `${cell}rem`);
    grid.style.setProperty("--rows", map[0]);
    grid.style.setProperty("--columns", map[1]);
    const lost = stages[0].map((side, axis) => side - map[axis] * this.scale);
    const parts = ["row", "column"].flatMap((word, axis) =>
      lost[axis] ? [`${lost[axis]} ${word}${lost[axis] > 1 ? "s" : ""}`] : [],
    );
    write(
      outside,
      parts.length && !tooSmall
        ? `The last ${parts.join(" and ")} of the image belong to no cell of pool5. Only the 3 × 3 windows of its neighbours have seen them.`
        : "No pixel is left over.",
    );
    outside.hidden = Boolean(tooSmall);
  }

  showRepairs() {
    const { classifier, configs, fc6, repairs } = this.data;
    const { weights } = configs[this.parts.config.value];
    const inputs = [fc6.channels * fc6.side ** 2, ...classifier.map(([, size]) => size)];
    const fc = classifier.map(([, size], place) => size * (inputs[place] + 1));
    const total = weights + fc.reduce((a, b) => a + b);
    const kept = { none: total, first: total - fc[0], all: weights };
    repairs.forEach(([name, , changed], place) => {
      const { answer, error, tooSmall, byAccident } = follow(this.data, name, this.size);
      const given = byAccident ? "wrong scores" : tooSmall ? "fails: too small" : answer;
      write(this.choices[place].answer, error && name === "none" ? "fails at fc6" : given);
      const share = Math.floor((100 * kept[changed]) / total);
      const text = count(kept[changed]);
      write(this.choices[place].kept, changed === "none" ? `all ${text}` : `${text} (${share} %)`);
    });
  }

  /** Draw the photograph with as many cells as the map of each stage has. */
  showPictures() {
    if (!this.photo?.complete || !this.photo.naturalWidth) return;
    const side = this.photo.naturalWidth;
    const { stages, image } = this.found;
    // The largest part of the photograph that has the image's form.
    let [height, width] = this.size.map((length) => (side * length) / Math.max(...this.size));
    if (this.repair === "crop" && this.found.fails === null) {
      height *= image[0] / this.size[0];
      width *= image[1] / this.size[1];
    }
    this.columns.forEach(({ canvas, picture }, stage) => {
      const cells = stages[stage];
      picture.hidden = product(cells) === 0;
      if (picture.hidden) return;
      // Of the image, what this map's cells stand for.
      const [rows, columns] = cells.map((cell, axis) => (cell * 2 ** stage) / image[axis]);
      [canvas.height, canvas.width] = cells.map((cell) => Math.min(cell, PIXELS));
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(
        this.photo, (side - width) / 2, (side - height) / 2, width * columns, height * rows,
        0, 0, canvas.width, canvas.height,
      );
    });
  }
}

VgglabExplorer.define("vgglab-explorer");
