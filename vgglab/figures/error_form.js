// The interpreter of rules.json, function by function as in explain/interpreter.py.

const ANY = -2;
const TAKER = { taker: "The layer", taker_low: "the layer" };

const explainError = (rules, message) => {
  const best = new Map();
  for (const [{ kind, explanation, suggestion }, names] of fitting(rules, message)) {
    const cause = {
      kind,
      explanation: fill(explanation, names),
      suggestion: fill(suggestion, names),
    };
    if (cause.explanation && cause.suggestion && !best.has(kind)) best.set(kind, cause);
  }
  return best.size ? [...best.values()] : [{ kind: "unknown", ...rules.unknown }];
};

const fitting = (rules, message) => {
  const [form, read] = readMessage(rules, clean(rules, message));
  const functions = functionsOf(rules);
  let names = read;
  for (const [forms, definitions] of Object.entries(rules.forms)) {
    if (forms.split(" ").includes(form)) names = derive(definitions, names, functions);
  }
  return rules.causes
    .filter((rule) => rule.form.split(" ").includes(form))
    .map((rule) => [rule, derive(rule.let ?? {}, names, functions)])
    .filter(([rule, known]) =>
      (rule.when ?? []).every((condition) => holds(evaluate(condition, known, functions))),
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

const readMessage = (rules, text) => {
  const tooLong = new RegExp(`[0-9]{${rules.longest_number + 1}}`);
  let found = null;
  for (const wording of rules.wordings) {
    if (found && (wording.tier ?? 0) > (found.wording.tier ?? 0)) break;
    const matches = [...text.matchAll(new RegExp(wording.pattern, "gi"))];
    const last = matches.at(-1);
    if (!last || (found && last.index < found.stop)) continue;
    const match = wording.first ? matches[0] : last;
    if (match.slice(1).some((group) => tooLong.test(group ?? ""))) continue;
    found = { wording, match, start: last.index, stop: last.index + last[0].length };
  }
  if (!found) return [null, {}];
  const { wording, match, start } = found;
  const captured = wording.captures
    .map((name, index) => capture(name, match[index + 1] ?? null))
    .filter(([, value]) => value !== null);
  const names = { ...TAKER, ...facts(rules, text, start), ...wording.with };
  return [wording.form, { ...names, ...Object.fromEntries(captured) }];
};

const facts = (rules, text, start) => {
  const found = {};
  for (const [name, pattern] of Object.entries(rules.facts)) {
    const within = pattern.endsWith("$") ? text.slice(0, start) : text;
    const match = within.match(new RegExp(pattern, "i"));
    if (match) found[name] = match[1] ?? match[0];
  }
  return found;
};

const capture = (name, text) => {
  if (name.endsWith("[]")) {
    const numbers = text?.match(/-?[0-9]+|none|null|\?/gi) ?? [];
    const sizes = numbers.map((number) => (/[0-9]$/.test(number) ? Number(number) : ANY));
    return [name.slice(0, -2), text === null ? null : sizes];
  }
  return [name, text && /^-?[0-9]+ ?$/.test(text) ? Number(text) : text];
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
  if (name === "like") {
    const text = names[parts[0]] ?? null;
    return text === null ? null : new RegExp(parts[1], "i").test(String(text));
  }
  const values = parts.map((part) => evaluate(part, names, functions));
  if (name === "not") return !holds(values[0]);
  if (name === "or") return values.some(holds);
  if (name === "else") return values[0] ?? values[1];
  return values.includes(null) ? null : functions[name](...values);
};

const holds = (value) => value !== null && value !== false;

const fill = (sentences, names) => {
  const known = (name) => (names[name] ?? null) !== null;
  const needed = (sentence) => [...sentence.matchAll(/{(\w+)/g)].map(([, name]) => name);
  return sentences
    .filter((sentence) => needed(sentence).every(known))
    .map((sentence) =>
      sentence.replace(/{(\w+)(?:\|([\w ]+))?}/g, (_, name, noun) => written(names[name], noun)),
    )
    .join(" ")
    .replace(/\ba (?=(?:8[0-9]*|11|18)×)/g, "an ");
};

const written = (value, noun) => {
  if (Array.isArray(value)) return `[${value.map((n) => (n === ANY ? "None" : n)).join(", ")}]`;
  if (noun === undefined) return String(value);
  const plural = noun.endsWith("is") ? `${noun.slice(0, -2)}es` : noun + (/s$/.test(noun) ? "es" : "s");
  return `${value} ${value === 1 ? noun : plural}`;
};

const volume = (values) => {
  const product = values.filter((n) => n >= 0).reduce((a, b) => a * b, 1);
  return Number.isSafeInteger(product) ? product : null;
};

const differ = (a, b) => {
  if (a.length !== b.length) return null;
  const axes = [...a.keys()].filter((axis) => a[axis] !== b[axis] && Math.min(a[axis], b[axis]) >= 0);
  // Of maps a size of 1 may be stretched.
  const stretches = (axis) => Number(a.length > 2 && (a[axis] === 1 || b[axis] === 1));
  return axes.sort((one, other) => stretches(one) - stretches(other));
};

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
  const usual = (number) => channels.includes(number);
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
    if: (condition, value) => (condition !== false ? value : null),
    "+": (a, b) => a + b,
    "-": (a, b) => a - b,
    "*": (a, b) => (Number.isSafeInteger(a * b) ? a * b : null),
    "/": (a, b) => (b > 0 && a % b === 0 ? a / b : null),
    "//": (a, b) => (b > 0 ? Math.floor(a / b) : null),
    abs: Math.abs,
    len: (values) => values.length,
    at: (values, index) => values.at(index) ?? null,
    volume,
    differ,
    root,
    height,
    usual,
    channels: (a, b) =>
      channels.find((c) => [a, b].every((n) => n % c === 0 && root(n / c))) ?? null,
    shared: (a, b) =>
      [512, 256, 128, 64, 32, 16, 8].find(
        (p) => a % p === 0 && b % p === 0 && p !== a && p !== b,
      ) ?? null,
    cells: (a, b) => {
      for (let side = 14; side > 1; side -= 1) {
        const fits = (n) => n % side ** 2 === 0 && n >= 8 * side ** 2 && usual(n / side ** 2);
        if (fits(a) && fits(b)) return side ** 2;
      }
      return null;
    },
    network: (features, out) =>
      networks.find(
        (network) =>
          network.channels * network.side ** 2 === features &&
          [0, network.out ?? out].includes(out),
      )?.name ?? null,
    depth: (name) => ofNetwork(name).channels,
    side: (name) => ofNetwork(name).side,
    first,
    last: (name, side) => first(name, side + 1) - 1,
  };
};

// What is written as in a program: a name with dots, and its call.
const CODE = /\b(?:\w+\.)*\w+\((?:[^()]|\([^()]*\))*\)|\b(?:nn|torch|vgglab|F|x)\.\w+(?:\.\w+)*/g;
const ADDRESS = "#message=";

class VgglabErrorForm extends VgglabFigure {
  show() {
    const { message, examples, link } = this.parts;
    message.addEventListener("input", () => this.showCauses());
    this.addExamples(examples);
    link.addEventListener("click", () => {
      window.location.hash = ADDRESS + encodeURIComponent(message.value);
    });
    window.addEventListener("hashchange", () => this.readAddress());
    this.readAddress();
  }

  readAddress() {
    const { hash } = window.location;
    if (!hash.startsWith(ADDRESS)) return;
    try {
      this.ask(decodeURIComponent(hash.slice(ADDRESS.length)));
    } catch {
      // not an address that this page wrote
    }
  }

  ask(message) {
    this.parts.message.value = message;
    this.showCauses();
  }

  addExamples(list) {
    for (const { title, example } of Object.values(this.data.kinds)) {
      const button = make("button", "", example);
      button.type = "button";
      button.title = title;
      button.addEventListener("click", () => this.ask(example));
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
    this.parts.share.hidden = causes.length === 0;
  }

  item({ kind, explanation, suggestion }) {
    return make(
      "li",
      "cause",
      make("p", "title", this.data.kinds[kind].title, " ", make("code", "kind", kind)),
      make("p", "explanation", ...prose(explanation)),
      make("p", "suggestion", ...prose(suggestion)),
      make("div", "more", ...copies(suggestion), ...this.chapters(kind)),
    );
  }

  chapters(kind) {
    return (this.data.chapters[kind] ?? []).map(({ title, address }) => {
      const link = make("a", "", title);
      link.href = address;
      return link;
    });
  }
}

const prose = (text) => {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(CODE)) {
    parts.push(text.slice(end, found.index), make("code", "code", found[0]));
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)];
};

const copies = (text) =>
  (text.match(CODE) ?? [])
    .filter((code) => code.includes("(") && navigator.clipboard)
    .map((code) => {
      const button = make("button", "", `Copy ${code}`);
      button.type = "button";
      button.addEventListener("click", () => navigator.clipboard.writeText(code));
      return button;
    });

VgglabErrorForm.define("vgglab-error-form");
