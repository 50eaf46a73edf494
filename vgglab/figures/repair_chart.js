const MIB = 2 ** 20;
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = (number) => number.toFixed(1);

class VgglabRepairChart extends VgglabFigure {
  show() {
    this.parts.classes.value = this.data.classes;
    write(this.parts.measured, `Accuracies are those of ${this.data.measured}.`);
    this.parts.figure.addEventListener("input", () => this.update());
    this.update();
  }

  /** Read the form, as `Answers` in Python has it. */
  answers() {
    const { scene, several, pretrained, training, classes, memory, onnx, map } = this.parts;
    return {
      scene: scene.value,
      several: several.value !== "",
      pretrained: pretrained.value !== "",
      training: training.value !== "",
      classes: classes.valueAsNumber >= 1 ? classes.valueAsNumber : this.data.classes,
      memory: memory.valueAsNumber >= 0 ? memory.valueAsNumber : null,
      onnx: onnx.value,
      map: map.value !== "",
    };
  }

  memory(row, { training, classes }) {
    const parameters = row.parameters + row.per_class * classes;
    return (training ? 12 * parameters + row.saved : 4 * parameters + row.peak) / MIB;
  }

  /** Return why a repair does not remain, or undefined. */
  reason(row, answers) {
    const { pretrained, training, classes, memory, onnx } = answers;
    const trained = pretrained && !row.fresh && classes === this.data.classes;
    const grade = (name) => this.data.onnx.indexOf(name);
    const found = {
      sizes: answers.several && !row.several,
      training: !trained && !training,
      memory: memory !== null && this.memory(row, answers) > memory,
      onnx: grade(row.onnx) < grade(onnx),
      map: answers.map && !row.map,
    };
    return Object.keys(found).find((reason) => found[reason]);
  }

  update() {
    const answers = this.answers();
    const { rows, reasons } = this.data;
    const when = answers.training ? "after" : "before";
    const share = (row) => (answers.pretrained ? row.accuracy[answers.scene][when] : null);
    const out = rows.map((row) => [row, this.reason(row, answers)]).filter(([, why]) => why);
    const kept = rows.filter((row) => !out.some(([other]) => other === row));
    kept.sort((a, b) => (share(b)?.[0] ?? 0) - (share(a)?.[0] ?? 0) || a.mult_adds - b.mult_adds);
    const { summary, outtitle } = this.parts;
    write(
      summary,
      kept.length
        ? `${kept.length} of ${rows.length} remain, ${
            answers.pretrained ? "the most accurate" : "the cheapest"
          } first: ${kept[0].name}`
        : `None of ${rows.length} remains.`,
    );
    this.parts.kept.replaceChildren(...kept.map((row) => this.card(row, share(row), answers)));
    outtitle.hidden = !out.length;
    this.parts.out.replaceChildren(
      ...out.map(([{ name }, why]) => make("li", "", make("b", "", name), ` ${reasons[why]}`)),
    );
  }

  card(row, share, answers) {
    const said = share
      ? `small network: ${tenths(share[0])} % right [${share.slice(1).map(tenths).join(", ")}]`
      : "not measured without trained weights";
    const title = make("div", "title", make("span", "name", row.name), make("span", "", said));
    const parameters = row.parameters + row.per_class * answers.classes;
    const use = answers.training ? "in training" : "in use";
    const price = make(
      "p",
      "note",
      `${(row.mult_adds / 1e9).toFixed(1)} G mult-adds, ${(parameters / 1e6).toFixed(1)} M weights, ` +
        `${whole.format(this.memory(row, answers))} MiB ${use}, ONNX: ${row.onnx}`,
    );
    const code = make("pre", "code", row.code);
    code.tabIndex = 0; // it scrolls
    code.setAttribute("role", "region");
    code.setAttribute("aria-label", `Code of ${row.name}`);
    const parts = [title, make("p", "note", row.note), price, code];
    if (share) parts.splice(1, 0, this.meter(share));
    return make("li", "repair", ...parts);
  }

  meter([mean, low, high]) {
    const bar = make("span", "mean");
    bar.style.inlineSize = `${mean}%`;
    const interval = make("span", "interval");
    interval.style.insetInlineStart = `${low}%`;
    interval.style.inlineSize = `${high - low}%`;
    const meter = make("div", "meter", bar, interval);
    meter.ariaHidden = "true";
    return meter;
  }
}

VgglabRepairChart.define("vgglab-repair-chart");
