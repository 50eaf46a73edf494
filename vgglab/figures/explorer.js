const number = new Intl.NumberFormat("en-US");

const shape = (channels, side) => `${channels} × ${side} × ${side}`;
const factors = (channels, side, features) =>
  `${channels} · ${side} · ${side} = ${number.format(features)}`;
const range = ([first, last]) => `${first} to ${last} px`;

class VgglabExplorer extends VgglabFigure {
  show() {
    this.fillControls();
    this.listen();
    this.showConfig();
  }

  fillControls() {
    const { config, configs, examples, fc6, maps, sides, start } = this.data;
    const { config: select, slider, side, examples: buttons, bands } = this.parts;
    for (const [name, { title }] of Object.entries(configs)) {
      select.append(new Option(title, name, name === config, name === config));
    }
    this.size = String(start);
    for (const control of [slider, side]) {
      [control.min] = Object.keys(sides);
      control.max = Object.keys(sides).at(-1);
      control.value = start;
    }
    for (const size of examples) {
      const button = make("button", "", String(size));
      button.type = "button";
      button.value = size;
      buttons.append(button);
    }
    // The slider's track shows which inputs give the same map.
    const widths = Object.values(sides).reduce(
      (count, row) => count.set(row.at(-1), (count.get(row.at(-1)) ?? 0) + 1),
      new Map(),
    );
    for (const [map, width] of widths) {
      const band = make("span", "band", make("span", "", String(map)));
      band.style.flexGrow = width;
      band.classList.toggle("fits", map === fc6.side);
      band.dataset.map = map;
      bands.append(band);
    }
    const { style } = this.parts.figure;
    style.setProperty("--largest", slider.max);
    style.setProperty("--cells", Object.keys(maps).at(-1));
    style.setProperty("--expected", fc6.side);
    const expected = maps[fc6.side];
    write(this.parts.expects, factors(fc6.channels, fc6.side, expected.features));
    write(this.parts.fitting, range(expected.inputs));
    write(this.parts.limits, `px, ${slider.min} to ${slider.max}`);
    write(this.parts.frame, `${fc6.side} × ${fc6.side}`);
  }

  listen() {
    const { config, slider, side, examples } = this.parts;
    config.addEventListener("input", () => this.showConfig());
    slider.addEventListener("input", () => this.showSize(slider.value));
    side.addEventListener("input", () => this.showSize(side.value));
    side.addEventListener("change", () => {
      const nearest = Math.min(Math.max(side.valueAsNumber || this.size, side.min), side.max);
      this.showSize(String(Math.round(nearest)));
      side.value = this.size;
    });
    examples.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.showSize(button.value);
    });
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
      const square = make("span", "square");
      square.ariaHidden = "true";
      const list = make("dl", "", ...rows.map(([node]) => node));
      const heading = make("p", "title", title);
      const item = make("li", "stage", make("div", "picture", sum, square), heading, list);
      return { item, sum, square, values: rows.map(([, value]) => value) };
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

  /** Show an input side; what is no side, such as a number half typed, is passed over. */
  showSize(size) {
    const { sides, maps } = this.data;
    if (!Object.hasOwn(sides, size)) return;
    this.size = size;
    const { slider, side: field, examples, bands } = this.parts;
    if (slider.value !== size) slider.value = size;
    if (this.shadowRoot.activeElement !== field) field.value = size;
    slider.ariaValueText = `${size} pixels`;
    for (const button of examples.children) button.ariaPressed = String(button.value === size);
    const last = sides[size].at(-1);
    for (const band of bands.children) {
      band.classList.toggle("current", band.dataset.map === String(last));
    }
    this.showStages(sides[size], maps[last]);
    this.showVerdict(last, maps[last]);
  }

  showStages(sides, map) {
    const { odd, classifier } = this.data;
    this.columns.forEach(({ item, sum, square, values }, index) => {
      const side = sides[index];
      const before = sides[index - 1];
      square.style.setProperty("--side", side);
      if (before === undefined) {
        write(sum, `input ${side}`);
      } else {
        const rest = odd.includes(before) ? "\n1 px dropped" : "";
        write(sum, `${before} ÷ 2 = ${side}${rest}`);
      }
      this.stages[index]?.forEach(([name, , channels], layer) => {
        const output = name.startsWith("pool") ? sides[index + 1] : side;
        write(values[layer], shape(channels, output));
      });
      item.classList.toggle("wrong", index === this.stages.length && map.error !== null);
    });
    const [flat, first, ...rest] = this.columns.at(-1).values;
    write(flat, number.format(map.features));
    write(first, map.error ? "✗ stops here" : number.format(classifier[0][1]));
    rest.forEach((value, index) => {
      write(value, map.error ? "not reached" : number.format(classifier[index + 1][1]));
    });
  }

  showVerdict(side, { features, inputs, error }) {
    const { figure, verdict, message, gives, same, map, grid } = this.parts;
    figure.classList.toggle("fits", !error);
    write(verdict, error ? "✗ Does not fit" : "✓ Fits");
    write(message, error ? `RuntimeError: ${error}` : "fc6 gets as many features as it expects.");
    message.classList.toggle("error", Boolean(error));
    write(gives, factors(this.data.fc6.channels, side, features));
    write(same, range(inputs));
    write(map, `${side} × ${side}`);
    grid.style.setProperty("--side", side);
  }
}

VgglabExplorer.define("vgglab-explorer");
