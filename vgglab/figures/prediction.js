// What a reader said is kept in this browser alone; without a store it lasts as long as the page.
const memory = {};
const stored = (key) => {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return memory[key] ?? {};
  }
};
const store = (key, said) => {
  memory[key] = said;
  try {
    if (Object.keys(said).length) localStorage.setItem(key, JSON.stringify(said));
    else localStorage.removeItem(key);
  } catch {
    // Kept in memory.
  }
};
const plain = (text) => text.trim().toLowerCase().replace(/[[\]()\s]+/g, " ").replace(/ ?, ?/g, ",").trim();

class VgglabPrediction extends VgglabFigure {
  show() {
    const { id, found } = this.data;
    this.key = `vgglab-prediction-${id}`;
    const { figure, foot, clear, show } = this.parts;
    figure.ariaLabel = found ? "What came out, and what you said" : "Your prediction";
    if (found) foot.hidden = true;
    clear.addEventListener("click", () => this.keep({}));
    show.addEventListener("click", () => this.found()?.scrollIntoView({ block: "center" }));
    document.addEventListener(this.key, () => this.fill());
    // All of this prediction: while a page is parsed, its answers come after its questions.
    document.dispatchEvent(new CustomEvent(this.key));
  }

  /** The place in the page that has the answers to these questions. */
  found() {
    return [...document.querySelectorAll("vgglab-prediction")].find(
      ({ data }) => data?.found && data.id === this.data.id,
    );
  }

  /** What was said in the page, or else in the notebook's code. */
  said() {
    const own = stored(this.key);
    return Object.fromEntries(
      Object.entries(this.data.questions).flatMap(([question, said]) => {
        const text = own[question] ?? said;
        return text === null ? [] : [[question, text]];
      }),
    );
  }

  keep(said) {
    store(this.key, said);
    document.dispatchEvent(new CustomEvent(this.key));
  }

  fill() {
    const said = this.said();
    const { rows, kept, clear, show } = this.parts;
    const questions = Object.keys(this.data.questions);
    if (this.data.found) {
      rows.replaceChildren(...questions.map((question) => this.compared(question, said[question])));
      return;
    }
    if (!rows.children.length) rows.append(...questions.map((question) => this.asked(question)));
    for (const field of rows.querySelectorAll("input")) {
      const text = said[field.name] ?? "";
      if (field.type === "radio") field.checked = field.value === text;
      else if (this.shadowRoot.activeElement !== field) field.value = text;
    }
    const any = Object.keys(stored(this.key)).length > 0;
    write(kept, any ? "Kept in this browser." : "Nothing leaves this browser.");
    clear.hidden = !any;
    show.hidden = !any || !this.found();
  }

  asked(question) {
    const keep = (text) => {
      const { [question]: _, ...rest } = stored(this.key);
      this.keep(text ? { ...rest, [question]: text } : rest);
    };
    const { choices } = this.data;
    const row = make("div", "", make("span", "question", question));
    const answer = make("span", "answer");
    for (const choice of choices ?? [""]) {
      const field = make("input");
      field.type = choices ? "radio" : "text";
      field.name = question;
      field.autocomplete = "off";
      if (choices) field.value = choice;
      else field.ariaLabel = question;
      field.addEventListener("input", () => keep(field.value.trim()));
      answer.append(choices ? make("label", "", field, ` ${choice}`) : field);
    }
    row.role = choices ? "radiogroup" : null;
    row.ariaLabel = choices ? question : null;
    row.append(answer);
    return row;
  }

  compared(question, said) {
    const { found, exact } = this.data;
    const right = found[question];
    const row = make("div", "", make("span", "question", question), make("strong", "", right));
    if (said !== undefined) {
      const isRight = plain(said) === plain(right);
      const mark = exact ? make("b", "", isRight ? "✓" : "✗") : "";
      row.append(make("span", "said", `you said ${said}`, mark));
    }
    return row;
  }
}

VgglabPrediction.define("vgglab-prediction");
