// What leads through the units of a panel: rankings, the line of density of a long text, and the table of all units.
class Guide {
  constructor(panel) {
    this.panel = panel;
    this.turn = new Map();
    for (const bar of panel.all(".calig-bar")) {
      const units = bar.dataset.of.split(" ").map(Number);
      bar.addEventListener("pointerenter", () => panel.find(units));
      bar.addEventListener("pointerleave", () => panel.find([]));
      bar.addEventListener("click", () => this.go(this.next(bar, units)));
    }
    for (const button of panel.all("[data-jump]")) {
      button.addEventListener("click", () => this.go(this.next(button, this.strongest(Number(button.dataset.jump)))));
    }
    for (const line of panel.all(".calig-density img")) {
      line.addEventListener("click", (event) => {
        const box = line.getBoundingClientRect();
        const part = (event.clientX - box.left) / box.width;
        const place = (panel.element.matches(".calig-rtl") ? 1 - part : part) * this.count();
        this.go(Math.max(0, Math.min(this.count() - 1, Math.floor(place))));
      });
    }
    this.table = panel.element.querySelector(".calig-all");
    this.table?.addEventListener("toggle", () => this.fill());
  }

  count() {
    return this.panel.data.values[0].length - this.panel.apart.length;
  }

  // The next of several units at each click of the same button, from the first after a change of the view.
  next(button, units) {
    const [view, place] = this.turn.get(button) || [this.panel.view, -1];
    const now = view === this.panel.view ? (place + 1) % units.length : 0;
    this.turn.set(button, [this.panel.view, now]);
    return units[now];
  }

  strongest(side) {
    const { data, view } = this.panel;
    const values = data.values[view].slice(0, this.count()).map((v) => side * (Number(v) || 0));
    const units = values.map((_, unit) => unit).filter((unit) => values[unit] > 0);
    return units.sort((a, b) => values[b] - values[a]);
  }

  go(unit) {
    const { panel } = this;
    if (unit === undefined) return;
    const word = panel.words.get(unit);
    if (word) {
      word.scrollIntoView({ block: "center" });
      panel.focus(panel.element.querySelector(".calig-w[tabindex='0']"), word);
    } else if (panel.picture) {
      panel.picture.overlay.scrollIntoView({ block: "nearest" });
      panel.cursor = unit;
      panel.point(unit);
    }
    panel.mark(unit);
  }

  // The scores of the present view as a table, for readers that do not see colours.
  fill() {
    if (!this.table?.open) return;
    const { data, view } = this.panel;
    const row = (tag, ...cells) => made("tr", "", ...cells.map((text, i) => made(tag, i === 1 ? "calig-left" : "", text)));
    const head = made("thead", "", row("th", "number", data.unit, data.names[view]));
    for (const cell of head.firstChild.children) cell.scope = "col";
    const units = data.values[view].map((value, unit) => row("td", String(unit), this.panel.name(unit), value));
    this.table.querySelector("div").replaceChildren(made("table", "", head, made("tbody", "", ...units)));
  }
}
