// The last minutes on a canvas: stacked areas and lines over time. Keeps no data: it draws the rows it is given.

const SPANS = [60, 120, 300];

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// A round number not below `value`, for the top of the axis.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= value);
}

export class Plot {
  // series: [{ name, color, stacked, dashed, of: (row) => number | null }], bottom to top.
  constructor(canvas, key, series, format) {
    Object.assign(this, { canvas, series, format });
    for (const one of series) {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = `var(--${one.color})`;
      item.append(swatch, one.name);
      key.append(item);
    }
  }

  // rows: oldest first, each with `at` in seconds; `now` is the right edge.
  draw(rows, now) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const inner = { left: 54, right: width - 4, top: 8, bottom: height - 20 };
    const span = SPANS.find((seconds) => !rows.length || now - rows[0].at <= seconds) ?? SPANS.at(-1);
    const seen = rows.filter((row) => row.at >= now - span);
    const top = ceiling(Math.max(...seen.map((row) => this.#highest(row)), 0) || 1);
    const x = (at) => inner.right - ((now - at) / span) * (inner.right - inner.left);
    const y = (value) => inner.bottom - (value / top) * (inner.bottom - inner.top);
    this.#grid(pen, inner, top, span, y);
    const base = seen.map(() => 0);
    for (const one of this.series) {
      if (one.stacked) this.#area(pen, one, seen, base, x, y);
      else this.#line(pen, one, seen, x, y);
    }
  }

  #highest(row) {
    let sum = 0;
    let most = 0;
    for (const one of this.series) {
      const value = one.of(row) ?? 0;
      if (one.stacked) sum += value;
      else most = Math.max(most, value);
    }
    return Math.max(sum, most);
  }

  #grid(pen, inner, top, span, y) {
    pen.strokeStyle = color("edge");
    pen.fillStyle = color("soft");
    pen.lineWidth = 1;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      pen.beginPath();
      pen.moveTo(inner.left, y(top * share));
      pen.lineTo(inner.right, y(top * share));
      pen.stroke();
      pen.fillText(this.format(top * share), inner.left - 6, y(top * share) + 4);
    }
    pen.textAlign = "center";
    for (const share of [0.25, 0.5, 0.75]) {
      const at = inner.right - share * (inner.right - inner.left);
      pen.fillText(`-${Math.round(share * span)} s`, at, inner.bottom + 15);
    }
  }

  #area(pen, one, rows, base, x, y) {
    const upper = rows.map((row, index) => base[index] + (one.of(row) ?? 0));
    pen.beginPath();
    rows.forEach((row, index) => pen.lineTo(x(row.at), y(upper[index])));
    for (let index = rows.length - 1; index >= 0; index--) pen.lineTo(x(rows[index].at), y(base[index]));
    pen.closePath();
    pen.fillStyle = color(one.color);
    pen.globalAlpha = 0.75;
    pen.fill();
    pen.globalAlpha = 1;
    upper.forEach((value, index) => (base[index] = value));
  }

  #line(pen, one, rows, x, y) {
    pen.beginPath();
    let drawing = false;
    for (const row of rows) {
      const value = one.of(row);
      if (value === null) drawing = false;
      else if (drawing) pen.lineTo(x(row.at), y(value));
      else {
        pen.moveTo(x(row.at), y(value));
        drawing = true;
      }
    }
    pen.strokeStyle = color(one.color);
    pen.lineWidth = 1.6;
    pen.setLineDash(one.dashed ? [5, 4] : []);
    pen.stroke();
    pen.setLineDash([]);
  }
}
