// Lines over time, with axes, units and a legend that tells the figures.

import { colour, onColours } from './colours.js';
import { el, setAttribute, setText } from './dom.js';
import { clock } from './words.js';

const [LEFT, RIGHT, TOP, BOTTOM] = [44, 10, 8, 20];
const FONT = '12px system-ui, sans-serif';

/**
 * A chart. `lines` are `{name, colour, dash}`; `format(value)` makes a figure; `unit(top)` says by what the values
 * beside the axis are divided, and what they are then; `least` is the least value at the upper end.
 */
export class Chart {
  constructor({ title, lines, format, unit, least }) {
    Object.assign(this, { title, lines, format, unit, least });
    this.times = [];
    this.values = lines.map(() => []);
    this.cursor = null;
    this.figures = lines.map(() => el('span.figure'));
    const items = lines.map((line, at) =>
      el('li', {}, el('span.swatch', { 'data-line': line.colour, 'aria-hidden': 'true' }), line.name, ' ', this.figures[at]));
    this.measure = el('small');
    this.legend = el('ul.legend', {}, ...items);
    this.canvas = el('canvas', { tabindex: '0', role: 'img' });
    this.spoken = el('output.unseen', { 'aria-live': 'polite' });
    this.element = el('figure.chart', {}, el('figcaption', {}, el('h3', {}, title, this.measure), this.legend), this.canvas, this.spoken);
    this.canvas.addEventListener('pointermove', (event) => this.point(event));
    this.canvas.addEventListener('pointerleave', () => this.move(null));
    this.canvas.addEventListener('blur', () => this.move(null));
    this.canvas.addEventListener('keydown', (event) => this.press(event));
    onColours(() => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /** Takes the points, which may be the same arrays, longer. */
  take(times, values) {
    this.times = times;
    this.values = values;
  }

  draw() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (width === 0) return;
    const ratio = devicePixelRatio;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const context = this.canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.frame(width, height);
    this.drawAxes(context, width);
    this.values.forEach((values, at) => this.drawLine(context, values, this.lines[at]));
    this.drawCursor(context);
    this.tell();
  }

  /** Which times and values the axes span. */
  frame(width, height) {
    const [first, last] = [this.times[0] ?? 0, this.times.at(-1) ?? 0];
    this.from = first < (last - first) / 2 || first < 5 ? 0 : first;
    this.to = Math.max(last, this.from + 30);
    let most = this.least;
    for (const values of this.values) for (const value of values) if (value > most) most = value;
    this.step = niceStep(most / 3);
    this.top = Math.ceil(most / this.step - 1e-9) * this.step;
    this.x = (time) => LEFT + ((time - this.from) / (this.to - this.from)) * (width - LEFT - RIGHT);
    this.y = (value) => TOP + (1 - value / this.top) * (height - TOP - BOTTOM);
    this.height = height;
  }

  drawAxes(context, width) {
    const [divisor, unit] = this.unit(this.top);
    setText(this.measure, `, ${unit}`);
    context.font = FONT;
    context.lineWidth = 1;
    context.strokeStyle = colour('line');
    context.fillStyle = colour('muted');
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (let value = 0; value <= this.top + 1e-9; value += this.step) {
      const y = Math.round(this.y(value)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width - RIGHT, y);
      context.stroke();
      context.fillText(String(+(value / divisor).toPrecision(3)), LEFT - 6, y);
    }
    context.textBaseline = 'alphabetic';
    const step = timeStep((this.to - this.from) / Math.max(2, Math.floor(width / 90)));
    for (let time = Math.ceil(this.from / step) * step; time <= this.to; time += step) {
      const x = this.x(time);
      context.textAlign = x > width - RIGHT - 16 ? 'right' : x < LEFT + 12 ? 'left' : 'center';
      context.fillText(clock(time), x, this.height - 5);
    }
  }

  drawLine(context, values, line) {
    context.strokeStyle = colour(line.colour);
    context.lineWidth = line.dash ? 1.5 : 2;
    context.lineJoin = 'round';
    context.setLineDash(line.dash ?? []);
    context.beginPath();
    let drawing = false;
    // No more points than pixels: of those that share one, the highest, so that no peak is lost.
    for (let at = 0; at < values.length; ) {
      const x = Math.round(this.x(this.times[at]) * 2) / 2;
      let value = NaN;
      for (; at < values.length && Math.round(this.x(this.times[at]) * 2) / 2 === x; at += 1) {
        if (!(value >= values[at])) value = values[at];
      }
      if (!Number.isFinite(value)) drawing = false;
      else if (drawing) context.lineTo(x, this.y(value));
      else {
        context.moveTo(x, this.y(value));
        drawing = true;
      }
    }
    context.stroke();
    context.setLineDash([]);
  }

  drawCursor(context) {
    if (this.cursor === null) return;
    const x = this.x(this.times[this.cursor]);
    context.strokeStyle = colour('muted');
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, TOP);
    context.lineTo(x, this.height - BOTTOM);
    context.stroke();
    this.values.forEach((values, at) => {
      const value = values[this.cursor];
      if (!Number.isFinite(value)) return;
      context.fillStyle = colour(this.lines[at].colour);
      context.beginPath();
      context.arc(x, this.y(value), 3, 0, 2 * Math.PI);
      context.fill();
    });
  }

  /** The figures at the cursor, else the latest, in the legend; and all of it in words. */
  tell() {
    const at = this.cursor ?? this.times.length - 1;
    this.values.forEach((values, line) => setText(this.figures[line], at >= 0 ? this.format(values[at]) : ''));
    const now = performance.now();
    if (this.told !== undefined && now - this.told < 5000) return;
    this.told = now;
    const figures = this.lines.map((line, index) => {
      const known = this.values[index].filter(Number.isFinite);
      if (known.length === 0) return `${line.name}: nothing yet`;
      const most = known.reduce((a, b) => Math.max(a, b));
      return `${line.name}: now ${this.format(known.at(-1))}, at most ${this.format(most)}`;
    });
    setAttribute(this.canvas, 'aria-label', `${this.title} over time. ${figures.join('. ')}.`);
  }

  point(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    let nearest = null;
    this.times.forEach((time, at) => {
      if (nearest === null || Math.abs(this.x(time) - x) < Math.abs(this.x(this.times[nearest]) - x)) nearest = at;
    });
    this.move(nearest);
  }

  press(event) {
    const last = this.times.length - 1;
    const at = this.cursor ?? last;
    const step = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 30, PageDown: at + 30, Home: 0, End: last }[event.key];
    if (step === undefined || last < 0) return;
    event.preventDefault();
    this.move(Math.max(0, Math.min(last, step)));
    const figures = this.lines.map((line, index) => `${line.name} ${this.format(this.values[index][this.cursor])}`);
    setText(this.spoken, `At ${clock(this.times[this.cursor])}: ${figures.join(', ')}`);
  }

  move(cursor) {
    if (cursor === this.cursor) return;
    this.cursor = cursor;
    this.draw();
  }
}

/** 1, 2 or 5 times a power of ten, not below `rough`. */
function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= rough * 0.999);
}

/** Seconds between two marks as a clock has them, not below `rough`. */
function timeStep(rough) {
  const steps = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  return steps.find((step) => step >= rough) ?? Math.ceil(rough / 3600) * 3600;
}
