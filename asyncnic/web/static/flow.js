// The way a frame takes, as SVG: built once for a shape (wide or narrow, with queue or without), then only updated.
// What the numbers are is decided in live.js; nothing here computes a rate.

const NS = "http://www.w3.org/2000/svg";

function make(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

export function short(value) {
  if (value >= 1e9) return (value / 1e9).toFixed(2) + " G";
  if (value >= 1e6) return (value / 1e6).toFixed(2) + " M";
  if (value >= 1e5) return (value / 1e3).toFixed(0) + " k";
  if (value >= 1e4) return (value / 1e3).toFixed(1) + " k";
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toString();
  return value.toFixed(1);
}

// An arrow with its rate. `path` is SVG path data, `head` where it points: [x, y, direction]; `label` is [x, y, class] of the
// rate, and where `noted`, a note stands below it.
class Arrow {
  constructor(svg, color, path, head, label, noted = false) {
    this.group = make(svg, "g", { class: `c-${color} still` });
    this.line = make(this.group, "path", { d: path, class: "still" });
    const [x, y, way] = head;
    const turn = { right: 0, down: 90, left: 180, up: 270 }[way];
    make(this.group, "path", { class: "head", d: "M0 0L-11 -6L-11 6Z", transform: `translate(${x} ${y}) rotate(${turn})` });
    this.rate = make(svg, "text", { x: label[0], y: label[1], class: label[2] ?? "" });
    this.note = noted ? make(svg, "text", { x: label[0], y: label[1] + 18, class: `note ${label[2] ?? ""}` }) : null;
  }

  update(rate, note) {
    const moving = rate > 0;
    this.group.setAttribute("class", this.group.getAttribute("class").replace(/ still$/, "") + (moving ? "" : " still"));
    this.line.setAttribute("class", moving ? "moving" : "still");
    this.line.setAttribute("stroke-width", moving ? (2 + Math.min(6, Math.log10(1 + rate))).toFixed(1) : "2");
    // A step of the dashes a frame would be a blur: the speed follows the order of magnitude.
    this.line.style.animationDuration = `${(1.6 / (1 + Math.log10(1 + rate))).toFixed(2)}s`;
    this.rate.textContent = `${short(rate)}/s${this.note || !note ? "" : ` ${note}`}`;
    if (this.note) this.note.textContent = note;
  }
}

class Gauge {
  constructor(svg, x, y, width) {
    this.width = width;
    make(svg, "rect", { x, y, width, height: 8, rx: 4, class: "gauge" });
    this.level = make(svg, "rect", { x, y, width: 0, height: 8, rx: 4, class: "level" });
  }

  update(part, whole) {
    const share = whole > 0 ? Math.min(1, part / whole) : 0;
    this.level.setAttribute("width", (this.width * share).toFixed(1));
    this.level.setAttribute("class", share > 0.9 ? "level full" : "level");
  }
}

export class Flow {
  constructor(host, narrow, queued) {
    this.shape = `${narrow}${queued}`;
    const stages = ["wire", "card", "driver", ...(queued ? ["queue"] : []), "stack"];
    host.replaceChildren();
    this.svg = make(host, "svg", { role: "img", "aria-label": "wire to card to driver to stack, with the rate on each arrow" });
    this.boxes = {};
    this.arrows = {};
    if (narrow) this.#tall(stages);
    else this.#wide(stages);
  }

  #box(stage, x, y, width, height) {
    make(this.svg, "rect", { x, y, width, height, rx: 8, class: "stage" });
    make(this.svg, "text", { x: x + width / 2, y: y + 24, class: "name" }, stage);
    const note = make(this.svg, "text", { x: x + width / 2, y: y + 45, class: "note" });
    const gauged = stage === "driver" || stage === "queue";
    this.boxes[stage] = { note, gauge: gauged ? new Gauge(this.svg, x + 16, y + height - 18, width - 32) : null };
  }

  #wide(stages) {
    const [width, height, top, box] = [1000, 262, 70, 132];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const gap = (width - 4 - stages.length * box) / (stages.length - 1);
    const left = (index) => 2 + index * (box + gap);
    stages.forEach((stage, index) => this.#box(stage, left(index), top, box, 82));
    stages.slice(1).forEach((stage, index) => {
      const [from, to, y] = [left(index) + box + 6, left(index + 1) - 8, top + 41];
      this.arrows[`to ${stage}`] = new Arrow(
        this.svg, "delivered", `M${from} ${y}H${to - 10}`, [to, y, "right"], [(from + to) / 2, y - 14]);
    });
    const end = left(stages.length - 1) + box / 2;
    this.arrows.transmitted = new Arrow(this.svg, "transmitted", `M${end} ${top - 6}V30H${left(0) + box / 2}V${top - 16}`,
      [left(0) + box / 2, top - 6, "down"], [(end + left(0) + box / 2) / 2, 20]);
    const drop = (name, x) => {
      this.arrows[`drop ${name}`] = new Arrow(
        this.svg, name, `M${x} ${top + 88}V${top + 128}`, [x, top + 138, "down"], [x, top + 156], true);
    };
    drop("kernel", left(0) + box / 2);
    drop("card", left(1) + box * 0.16);
    drop("filtered", left(1) + box * 0.84);
    drop("driver", left(2) + box / 2);
    if (stages.includes("queue")) drop("queue", left(3) + box / 2);
  }

  #tall(stages) {
    const [box, tall, gap, x] = [150, 82, 52, 40];
    const above = (index) => 6 + index * (tall + gap);
    this.svg.setAttribute("viewBox", `0 0 360 ${above(stages.length - 1) + tall + 28}`);
    stages.forEach((stage, index) => this.#box(stage, x, above(index), box, tall));
    stages.slice(1).forEach((stage, index) => {
      const [from, to] = [above(index) + tall + 5, above(index + 1) - 6];
      this.arrows[`to ${stage}`] = new Arrow(this.svg, "delivered", `M${x + box / 2} ${from}V${to - 10}`,
        [x + box / 2, to, "down"], [x + box / 2 + 14, (from + to) / 2 + 5, "start"]);
    });
    const [first, last] = [above(0) + tall / 2, above(stages.length - 1) + tall / 2];
    this.arrows.transmitted = new Arrow(this.svg, "transmitted", `M${x - 6} ${last}H16V${first}H${x - 16}`,
      [x - 6, first, "right"], [24, above(stages.length - 1) + tall + 20, "start"]);
    const drop = (name, index, share) => {
      const y = above(index) + tall * share;
      this.arrows[`drop ${name}`] = new Arrow(
        this.svg, name, `M${x + box + 6} ${y}H${x + box + 40}`, [x + box + 50, y, "right"], [x + box + 58, y, "start"], true);
    };
    drop("kernel", 0, 0.5);
    drop("card", 1, 0.15);
    drop("filtered", 1, 0.7);
    drop("driver", 2, 0.5);
    if (stages.includes("queue")) drop("queue", 3, 0.5);
  }

  // rates: arrow -> a second; notes: stage or arrow -> text ("drop card" is the arrow, "card" the box); gauges: stage -> [part, whole].
  update(rates, notes, gauges) {
    for (const [name, arrow] of Object.entries(this.arrows)) arrow.update(rates[name] ?? 0, notes[name]);
    for (const [stage, box] of Object.entries(this.boxes)) {
      box.note.textContent = notes[stage] ?? "";
      if (box.gauge && gauges[stage]) box.gauge.update(...gauges[stage]);
    }
  }
}
