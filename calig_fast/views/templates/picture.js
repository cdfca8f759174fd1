// Signed heat over an image: the scores are interpolated (bicubic, as views/pictures.py does), then coloured.
class Picture {
  constructor(overlay, [rows, columns]) {
    Object.assign(this, { overlay, rows, columns, zoom: Math.max(1, Math.floor(224 / Math.max(rows, columns))) });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "calig-heat";
    this.canvas.width = columns * this.zoom;
    this.canvas.height = rows * this.zoom;
    this.box = document.createElement("div");
    this.box.className = "calig-box";
    this.box.hidden = true;
    for (const still of overlay.querySelectorAll("img.calig-heat")) still.remove();
    overlay.insertBefore(this.canvas, overlay.querySelector(".calig-lines"));
    overlay.append(this.box);
    overlay.tabIndex = 0;
    const style = getComputedStyle(overlay);
    this.colours = ["--oppose", "--support"].map((name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number));
  }

  paint(values, scale, least) {
    const width = this.canvas.width;
    const across = Picture.stretch(values, this.rows, this.columns, this.zoom);
    const fine = Picture.stretch(Picture.turned(across, this.rows, width), width, this.rows, this.zoom);
    const pixels = new ImageData(width, this.canvas.height);
    const longer = Math.max(width, this.canvas.height);
    for (let y = 0; y < this.canvas.height; y++) {
      for (let x = 0; x < width; x++) {
        const value = fine[x * this.canvas.height + y];
        const size = Math.abs(value);
        const faint = value < 0 && this.zoom > 1 && (28 * (x + y)) % (2 * longer) < longer ? 0.35 : 1;  // views/pictures.py
        const colour = [...this.colours[value > 0 ? 1 : 0], size < least ? 0 : 255 * faint * Math.min(1, size / scale)];
        pixels.data.set(colour, 4 * (y * width + x));
      }
    }
    this.canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  // Each row of a plane [rows, columns] made `zoom` times as long.
  static stretch(plane, rows, columns, zoom) {
    const out = new Float64Array(rows * columns * zoom);
    for (let x = 0; x < columns * zoom; x++) {
      const place = (x + 0.5) / zoom - 0.5;
      const first = Math.floor(place);
      for (let tap = first - 1; tap <= first + 2; tap++) {
        const weight = zoom === 1 ? Number(tap === first) : Picture.cubic(Math.abs(place - tap));
        const from = Math.min(Math.max(tap, 0), columns - 1);
        for (let y = 0; y < rows; y++) out[y * columns * zoom + x] += weight * plane[y * columns + from];
      }
    }
    return out;
  }

  static cubic(d) {
    const a = -0.75;
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  }

  static turned(plane, rows, columns) {
    return Float64Array.from(plane, (_, i) => plane[(i % rows) * columns + Math.floor(i / rows)]);
  }

  at(event) {
    const place = this.canvas.getBoundingClientRect();
    const part = (from, to, length) => Math.min(length - 1, Math.max(0, Math.floor(((from - to[0]) / to[1]) * length)));
    const row = part(event.clientY, [place.top, place.height], this.rows);
    return row * this.columns + part(event.clientX, [place.left, place.width], this.columns);
  }

  frame(unit) {
    this.box.hidden = unit === null;
    if (unit === null) return;
    this.box.style.left = (100 * (unit % this.columns)) / this.columns + "%";
    this.box.style.top = (100 * Math.floor(unit / this.columns)) / this.rows + "%";
    this.box.style.width = 100 / this.columns + "%";
    this.box.style.height = 100 / this.rows + "%";
  }
}
