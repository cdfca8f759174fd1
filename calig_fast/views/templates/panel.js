// One explanation: its words or patches coloured by a view's scores, or by what the selected one of them attended to.
class Panel {
  constructor(element, ends, tip) {
    this.element = element;
    this.all = (selector) => [...element.querySelectorAll(selector)];
    this.data = JSON.parse(element.querySelector(".calig-data").textContent);
    this.ends = ends;
    this.tip = tip;
    this.words = new Map(this.all(".calig-w").map((word) => [Number(word.dataset.u), word]));
    this.shown = new Map([...this.words].map(([unit, word]) => [unit, Number(word.dataset.s)]));
    this.views = this.all("[data-view]:not(img)");
    this.picks = this.all("[data-pick]");
    this.apart = this.all(".calig-apart .calig-number");
    this.here = element.querySelector(".calig-here");
    this.found = [];
    this.panel = element.querySelector(".calig-context");
    const overlay = element.querySelector(".calig-overlay");
    this.picture = overlay && new Picture(overlay, this.data.grid);
    this.patches = overlay ? this.data.grid[0] * this.data.grid[1] : 0;
    this.context = this.data.context && contextRows(this.data.context, this.data.keys.length);
    Object.assign(this, { view: 0, selected: null, full: this.data.percentile, least: 0, peers: [] });
    if (this.context) element.classList.add("calig-asks");
    this.listen();
    this.guide = new Guide(this);
  }

  show(key) {
    const view = this.data.keys.indexOf(key);
    this.element.querySelector(".calig-absent").hidden = view >= 0;
    this.element.classList.toggle("calig-lacks", view < 0);
    for (const part of this.views) part.hidden = Number(part.dataset.view) !== key;
    for (const part of this.picks) part.classList.toggle("calig-now", Number(part.dataset.pick) === key);
    if (view < 0) return;
    this.view = view;
    this.paint();
  }

  paint() {
    const { data, view } = this;
    const row = this.selected === null ? null : this.context(view, this.selected);
    const scale = row ? row.largest || 1 : this.scale();
    const levels = row ? new Map(row.entries.map(([u, v]) => [u, Math.round((v / scale) * data.steps)])) : null;
    for (const [unit, word] of this.words) {
      const level = (levels ? levels.get(unit) : data.levels && data.levels[view][unit]) || 0;
      if (level === this.shown.get(unit)) continue;
      word.dataset.s = level;
      this.shown.set(unit, level);
    }
    if (this.picture) {
      const values = row ? new Float64Array(this.patches) : this.numbers(view);
      if (row) for (const [unit, value] of row.entries) if (unit < this.patches) values[unit] = value;
      this.picture.paint(values, scale, row || !this.least ? 0 : percentile(values, this.least));
      this.picture.frame(this.selected !== null && this.selected < this.patches ? this.selected : null);
    }
    this.apart.forEach((part, k) => { part.textContent = data.values[view][data.values[view].length - this.apart.length + k]; });
    const end = row || this.full !== data.percentile ? scale.toPrecision(2) : data.scales[view];
    this.ends[0].textContent = "-" + end;
    this.ends[1].textContent = "+" + end;
    for (const part of this.all(".calig-which")) part.textContent = this.title();
    this.guide.fill();
    this.tell(row);
  }

  title() {
    const name = this.data.names[this.view];
    return this.selected === null ? name : "what " + this.name(this.selected) + " attended to, " + name;
  }

  // The patches' scores as numbers, and the magnitude at full colour: the blocks share one, so that they compare.
  numbers(view) {
    return this.data.values[view].slice(0, this.patches).map((v) => Number(v) || 0);
  }

  scale() {
    const { data, view } = this;
    if (this.full === data.percentile) return Number(data.scales[view]);
    const of = (k) => percentile(this.numbers(k), this.full) || 1;
    const blocks = data.keys.slice(1).map((_, k) => of(k + 1));
    return view === 0 ? of(0) : percentile(blocks, 50);
  }

  name(unit) {
    if (unit >= this.patches) return this.words.get(unit).textContent;
    return "row " + Math.floor(unit / this.data.grid[1]) + ", column " + (unit % this.data.grid[1]);
  }

  select(unit) {
    if (!this.context) return;
    if (this.words.has(this.selected)) this.words.get(this.selected).classList.remove("calig-asked");
    this.selected = unit === this.selected ? null : unit;
    if (this.words.has(this.selected)) this.words.get(this.selected).classList.add("calig-asked");
    this.element.classList.toggle("calig-asking", this.selected !== null);
    this.hide();
    this.paint();
  }

  leave() {
    this.hide();
    if (this.selected !== null) this.select(this.selected);
  }

  // The selected row in words, under the text.
  tell(row) {
    if (!this.panel) return;
    this.hint = this.hint || this.panel.firstElementChild;
    if (!row) return void (this.panel.contains(this.hint) || this.panel.replaceChildren(this.hint));
    const line = made("p", "", made("bdi", "calig-b", this.name(this.selected)), " attended to, ");
    line.append(this.view === 0 ? "on the mean over the blocks: " : "in " + this.data.names[this.view] + ": ");
    const strongest = row.entries.filter(([, v]) => v).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 10);
    for (const [unit, value] of strongest) {
      const cell = made("span", "calig-cell", made("bdi", "", this.name(unit)), " ", made("b", "", signed(value)));
      cell.dataset.s = Math.round((value / row.largest) * this.data.steps);
      line.append(cell, " ");
    }
    if (!strongest.length) line.append("nothing");
    const back = made("button", "calig-back", "back to the scores (Esc)");
    back.type = "button";
    back.addEventListener("click", () => this.leave());
    const note = "Its row of the context map, signed: what this " + (this.patches ? "patch" : this.data.unit) + " took in that supports or opposes.";
    this.panel.replaceChildren(line, made("p", "calig-muted", note), back);
  }

  // The exact value, and those of the word pieces; in every panel of the same input the same unit is framed.
  point(unit) {
    const { data, view } = this;
    const row = this.selected === null ? null : this.context(view, this.selected);
    const entry = row && row.entries.find(([u]) => u === unit);
    const value = row ? (entry ? "about " + signed(entry[1]) : "not kept") : data.values[view][unit];
    const lines = [this.name(unit) + "  " + value + "  (" + this.title() + ")"];
    if (!row) for (const [piece, values] of (data.pieces || {})[unit] || []) lines.push(piece + "  " + values[view]);
    this.tip.replaceChildren(...lines.map((text) => Object.assign(made("div", "", text), { dir: "auto" })));
    this.tip.hidden = false;
    for (const panel of [this, ...this.peers]) panel.find([unit]);
    const target = this.words.get(unit) || this.picture.box;
    const at = target.getClientRects()[0] || target.getBoundingClientRect();
    const box = this.tip.getBoundingClientRect();
    this.tip.style.left = Math.max(6, Math.min(at.left, innerWidth - box.width - 6)) + "px";
    this.tip.style.top = (at.top > box.height + 10 ? at.top - box.height - 6 : at.bottom + 6) + "px";
  }

  hide() {
    this.tip.hidden = true;
    for (const panel of [this, ...this.peers]) panel.find([]);
  }

  find(units) {
    for (const word of this.found) word.classList.remove("calig-found");
    this.found = units.map((unit) => this.words.get(unit)).filter(Boolean);
    for (const word of this.found) word.classList.add("calig-found");
    if (this.picture) this.picture.frame(units.length && units[0] < this.patches ? units[0] : this.selected);
  }

  // The unit that was gone to last, in the text and on the line of density.
  mark(unit) {
    for (const word of this.all(".calig-marked")) word.classList.remove("calig-marked");
    this.words.get(unit)?.classList.add("calig-marked");
    if (!this.here) return;
    this.here.hidden = false;
    this.here.style.left = (100 * (unit + 0.5)) / this.guide.count() + "%";
  }

  listen() {
    const word = (event) => event.target.closest(".calig-w");
    for (const box of this.all(".calig-text, .calig-apart")) {
      box.addEventListener("pointerover", (event) => {
        if (!word(event)) return;
        word(event).removeAttribute("title");
        this.point(Number(word(event).dataset.u));
      });
      box.addEventListener("pointerout", (event) => { if (word(event)) this.hide(); });
      box.addEventListener("click", (event) => { if (word(event)) this.select(Number(word(event).dataset.u)); });
      box.addEventListener("focusin", (event) => { if (word(event)?.matches(":focus-visible")) this.point(Number(word(event).dataset.u)); });
      box.addEventListener("focusout", () => this.hide());
    }
    if (this.words.size) this.words.values().next().value.tabIndex = 0;
    if (this.picture) {
      const { overlay } = this.picture;
      overlay.addEventListener("pointermove", (event) => this.point(this.picture.at(event)));
      overlay.addEventListener("pointerleave", () => this.hide());
      overlay.addEventListener("click", (event) => this.select(this.picture.at(event)));
    }
    this.element.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") this.leave(); });
  }

  key(event) {
    const word = event.target.closest(".calig-w");
    const patch = this.picture && event.target === this.picture.overlay;
    if (!word && !patch) return;
    const here = word ? Number(word.dataset.u) : this.cursor || 0;
    const chosen = event.key === "Enter" || event.key === " ";
    const there = this.next(event, here, patch);
    if (!chosen && there === null) return;
    event.preventDefault();
    if (chosen) this.select(here);
    else if (patch) this.point((this.cursor = there));
    else if (there !== here) this.focus(word, this.words.get(there));
  }

  // Where a key leads: along the reading direction of a text, over the grid of an image; null for other keys.
  next(event, here, patch) {
    const units = patch ? [0, this.patches - 1] : [Math.min(...this.words.keys()), Math.max(...this.words.keys())];
    if (event.key === "Home") return units[0];
    if (event.key === "End") return units[1];
    const step = !patch && getComputedStyle(event.target.parentElement).direction === "rtl" ? -1 : 1;
    const moves = { ArrowRight: step, ArrowLeft: -step };
    if (patch) Object.assign(moves, { ArrowDown: this.data.grid[1], ArrowUp: -this.data.grid[1] });
    if (!(event.key in moves)) return null;
    const there = here + moves[event.key];
    return there < units[0] || there > units[1] ? here : there;
  }

  focus(from, to) {
    from?.removeAttribute("tabindex");
    to.tabIndex = 0;
    to.focus();
  }
}

function percentile(values, share) {
  const sizes = Float64Array.from(values, Math.abs).sort();
  const place = ((sizes.length - 1) * share) / 100;
  const low = Math.floor(place);
  return sizes.length ? sizes[low] + (place - low) * ((sizes[low + 1] ?? sizes[low]) - sizes[low]) : 0;
}

function signed(value) {
  return (value > 0 ? "+" : "") + Number(value.toPrecision(2));
}

function made(tag, name, ...children) {
  const element = document.createElement(tag);
  element.className = name;
  element.append(...children);
  return element;
}
