const ms = (seconds) => `${(1e3 * seconds).toFixed(1)} ms`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

class VgglabScalingChart extends VgglabFigure {
  show() {
    const { head, devices, link, figure } = this.parts;
    const option = (value, text) => {
      const node = make("option", "", text);
      node.value = value;
      return node;
    };
    head.append(...this.data.heads.map(({ name, title }) => option(name, title)));
    devices.append(...this.data.devices.map((count) => option(count, count)));
    link.append(...this.data.links.map(({ name }) => option(name, name)));
    for (const [name, value] of Object.entries(this.data.choice)) {
      this.parts[name].value = value === true ? "1" : value;
    }
    figure.addEventListener("input", () => this.update());
    this.update();
  }

  /** Read the form, as `Choice` in Python has it; what is no number is what it was at first. */
  choice() {
    const { head, devices, link, batch, speed, overlap } = this.parts;
    const first = this.data.choice;
    const atLeast = (node, least, other) =>
      node.valueAsNumber >= least ? node.valueAsNumber : other;
    return {
      head: this.data.heads.find(({ name }) => name === head.value),
      link: this.data.links.find(({ name }) => name === link.value).link,
      devices: Number(devices.value),
      batch: atLeast(batch, 1, first.batch),
      speed: atLeast(speed, 0.1, first.speed),
      overlap: overlap.value !== "",
    };
  }

  /** Predict a step, as `step_time` does. */
  step({ head, link: [latency, bandwidth], devices, batch, speed, overlap }) {
    const { forward } = this.data;
    const compute = (Math.round(1 / forward) * batch * head.work) / (speed * 1e12);
    const transfers = [];
    let free = 0;
    for (const [bytes, share] of devices > 1 ? head.buckets : []) {
      const ready = compute * (forward + (1 - forward) * (overlap ? share : 1));
      const start = Math.max(ready, free);
      free = start + 2 * (devices - 1) * (latency + bytes / devices / bandwidth);
      transfers.push({ start, end: free });
    }
    return { compute, transfers, seconds: Math.max(compute, free) };
  }

  update() {
    const choice = this.choice();
    const { compute, transfers, seconds } = this.step(choice);
    const waiting = seconds - compute;
    const { summary, details } = this.parts;
    write(
      summary,
      `${ms(seconds)} a step: ${ms(compute)} computing, ${ms(waiting)} waiting. ` +
        `Efficiency ${percent(compute / seconds)}, ` +
        `${((choice.devices * compute) / seconds).toFixed(1)} times one device.`,
    );
    const bytes = choice.head.buckets.reduce((sum, [size]) => sum + size, 0);
    const travelling = transfers.reduce((sum, { start, end }) => sum + end - start, 0);
    write(
      details,
      `${(bytes / 1e6).toFixed(0)} MB in ${choice.head.buckets.length} buckets; ` +
        `${ms(travelling)} on their way, ${ms(travelling - waiting)} of it hidden.`,
    );
    const bar = (className, start, end) => {
      const node = make("span", className);
      node.style.insetInlineStart = `${(100 * start) / seconds}%`;
      node.style.inlineSize = `${(100 * (end - start)) / seconds}%`;
      return node;
    };
    this.parts.compute.replaceChildren(bar("compute", 0, compute));
    this.parts.sending.replaceChildren(...transfers.map(({ start, end }) => bar("send", start, end)));
  }
}

VgglabScalingChart.define("vgglab-scaling-chart");
