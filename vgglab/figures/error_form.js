// The interpreter of rules.json, function by function as in explain/__init__.py.

const explainError = (rules, message) => {
  const best = new Map();
  for (const [{ kind, explanation, suggestion }, names] of fitting(rules, message)) {
    if (best.has(kind)) continue;
    best.set(kind, {
      kind,
      explanation: fill(explanation, names),
      suggestion: fill(suggestion, names),
    });
  }
  return best.size ? [...best.values()] : [{ kind: "unknown", ...rules.unknown }];
};

const fitting = (rules, message) => {
  const [form, numbers] = read(rules, clean(rules, message));
  const functions = functionsOf(rules);
  return rules.causes
    .filter((rule) => rule.form === form)
    .map((rule) => [rule, derive(rule.let, numbers, functions)])
    .filter(([rule, names]) =>
      rule.when.every((condition) => holds(evaluate(condition, names, functions))),
    )
    .sort(([a], [b]) => b.score - a.score);
};

const clean = (rules, message) => {
  let text = [...message].slice(-rules.longest_message).join("");
  for (const [pattern, replacement] of rules.clean) {
    text = text.replace(new RegExp(pattern, "g"), replacement);
  }
  return text;
};

const read = (rules, text) => {
  const tooLong = new RegExp(`[0-9]{${rules.longest_number + 1}}`);
  for (const { form, captures, pattern } of rules.wordings) {
    const match = [...text.matchAll(new RegExp(pattern, "gi"))].at(-1);
    if (match && !match.slice(1).some((group) => tooLong.test(group ?? ""))) {
      const named = captures.map((name, index) => capture(name, match[index + 1] ?? null));
      return [form, Object.fromEntries(named)];
    }
  }
  return [null, {}];
};

const capture = (name, text) => {
  if (name.endsWith("[]")) {
    return [name.slice(0, -2), ((text ?? "").match(/-?[0-9]+/g) ?? []).map(Number)];
  }
  return [name, text && /^[0-9]+$/.test(text) ? Number(text) : text];
};

const derive = (definitions, numbers, functions) => {
  const names = { ...numbers };
  for (const [name, expression] of Object.entries(definitions)) {
    names[name] = evaluate(expression, names, functions);
  }
  return names;
};

const evaluate = (expression, names, functions) => {
  if (typeof expression === "string") return names[expression] ?? null;
  if (!Array.isArray(expression) || typeof expression[0] !== "string") return expression;
  const [name, ...parts] = expression;
  const values = parts.map((part) => evaluate(part, names, functions));
  if (name === "not") return !holds(values[0]);
  if (name === "or") return values.some(holds);
  return values.includes(null) ? null : functions[name](...values);
};

const holds = (value) => value !== null && value !== false;

const fill = (sentences, names) => {
  const known = (name) => (names[name] ?? null) !== null;
  const needed = (sentence) => [...sentence.matchAll(/{(\w+)}/g)].map(([, name]) => name);
  return sentences
    .filter((sentence) => needed(sentence).every(known))
    .map((sentence) => sentence.replace(/{(\w+)}/g, (_, name) => show(names[name])))
    .join(" ");
};

const show = (value) => (Array.isArray(value) ? `[${value.join(", ")}]` : String(value));

const root = (number) => {
  const side = Math.floor(Math.sqrt(number));
  return number > 0 && side * side === number ? side : null;
};

const height = (cells) => {
  if (!(cells > 0 && cells <= 65536)) return null;
  let shorter = Math.floor(Math.sqrt(cells));
  while (cells % shorter) shorter -= 1;
  return cells <= 2 * shorter ** 2 ? shorter : null;
};

const functionsOf = ({ channels, networks }) => {
  const ofNetwork = (name) => networks.find((network) => network.name === name);
  // As vgglab.shapes.input_sizes, for windows that round down.
  const first = (name, side) =>
    ofNetwork(name).windows.reduceRight(
      (places, [kernel, stride, padding]) =>
        Math.max((places - 1) * stride + kernel - 2 * padding, 1),
      side,
    );
  return {
    "==": (a, b) => a === b,
    "!=": (a, b) => a !== b,
    "<": (a, b) => a < b,
    "<=": (a, b) => a <= b,
    in: (a, values) => values.includes(a),
    "-": (a, b) => a - b,
    "*": (a, b) => (Number.isSafeInteger(a * b) ? a * b : null),
    "/": (a, b) => (b > 0 && a % b === 0 ? a / b : null),
    "//": (a, b) => (b > 0 ? Math.floor(a / b) : null),
    abs: Math.abs,
    len: (values) => values.length,
    at: (values, index) => values.at(index) ?? null,
    root,
    height,
    usual: (number) => channels.includes(number),
    channels: (a, b) =>
      channels.find((c) => [a, b].every((n) => n % c === 0 && root(n / c))) ?? null,
    network: (features) =>
      networks.find((network) => network.channels * network.side ** 2 === features)?.name ?? null,
    depth: (name) => ofNetwork(name).channels,
    side: (name) => ofNetwork(name).side,
    first,
    last: (name, side) => first(name, side + 1) - 1,
  };
};

class VgglabErrorForm extends VgglabFigure {
  show() {
    const { message, examples } = this.parts;
    message.addEventListener("input", () => this.showCauses());
    this.addExamples(examples);
  }

  addExamples(list) {
    for (const [kind, { example }] of Object.entries(this.data.kinds)) {
      const button = make("button", "", kind);
      button.type = "button";
      button.title = example;
      button.addEventListener("click", () => {
        this.parts.message.value = example;
        this.showCauses();
      });
      list.append(button);
    }
  }

  showCauses() {
    const message = this.parts.message.value;
    const causes = message.trim() ? explainError(this.data, message) : [];
    const shown = JSON.stringify(causes);
    if (shown === this.shown) return; // a live region is silent about what stays the same
    this.shown = shown;
    this.parts.answer.replaceChildren(...causes.map((cause) => this.item(cause)));
  }

  item({ kind, explanation, suggestion }) {
    return make(
      "li",
      "cause",
      make("p", "title", this.data.kinds[kind].title, " ", make("code", "kind", kind)),
      make("p", "explanation", explanation),
      make("p", "suggestion", suggestion),
    );
  }
}

VgglabErrorForm.define("vgglab-error-form");
