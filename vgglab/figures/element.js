/** An element whose content, a table, makes way for a figure once it is parsed. */
class VgglabFigure extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    // While the page is parsed, the children of all but the first are not there yet.
    if (this.querySelector("script") || document.readyState !== "loading") this.start();
    else document.addEventListener("DOMContentLoaded", () => this.start(), { once: true });
  }

  start() {
    if (this.shadowRoot) return;
    const text = (type) => this.querySelector(`script[type="${type}"]`).textContent;
    this.data = JSON.parse(text("application/json"));
    // A shadow root takes the place of the table, and keeps the page's style and ours apart.
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = text("text/html");
    this.parts = Object.fromEntries(
      [...root.querySelectorAll("[id]")].map((node) => [node.id, node]),
    );
    // Outside of a shadow root nobody can tell that a key went to a field: a page's own
    // shortcuts, such as arrows that turn its pages, would take it.
    root.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
    });
    this.show();
  }

  /** Fill `this.parts`, the nodes that have an id, with `this.data`. */
  show() {}

  static define(tag) {
    if (!customElements.get(tag)) customElements.define(tag, this); // once a page
  }
}

const make = (tag, className = "", ...content) => {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...content);
  return node;
};

// Text that stays the same is left alone, so that a live region is silent about it.
const write = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const product = (values) => values.reduce((a, b) => a * b, 1);
const by = (sides) => sides.join(" × ");
const { format: count } = new Intl.NumberFormat("en-US");
