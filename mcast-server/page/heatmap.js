// What each client has of each part of the stream: a row a client, a column a part.

import { colour, heatScale, onColours } from './colours.js';
import { el, setAttribute, setText, show } from './dom.js';
import { percent } from './words.js';

/** Height of the map at most, before it scrolls, and of a row, in CSS pixels. */
const HEIGHT = 320;
const ROW_HEIGHT = 26;
/** From this height of a row on there is room for names. */
const NAMED = 13;
/** Room beside the map for names or numbers, for shares, and below it for the scale. */
const NAMES = 104;
const NUMBERS = 40;
const SHARES = 44;
const BELOW = 22;
const FONT = '12px system-ui, sans-serif';

/** A heat map; `choose(client)` is called when one is clicked. */
export class HeatMap {
  constructor({ choose }) {
    this.choose = choose;
    /** By client, a byte a column. */
    this.values = new Map();
    this.columns = 0;
    /** In the order of the rows: client, host, share of it all, whether it went. */
    this.clients = [];
    this.cursor = null;
    this.build();
    this.scale = heatScale();
    onColours(() => {
      this.scale = heatScale();
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.scroll);
  }

  build() {
    this.canvas = el('canvas', { tabindex: '0', role: 'application', 'aria-roledescription': 'heat map' });
    this.canvas.id = 'map';
    this.canvas.setAttribute('aria-describedby', 'map-help');
    this.tip = el('div.tip', { 'aria-hidden': 'true', hidden: true });
    this.scroll = el('div.map-scroll', {}, this.canvas);
    this.spoken = el('output.unseen', { 'aria-live': 'polite' });
    const help = el('p.unseen', { id: 'map-help' });
    help.textContent = 'Arrow keys move from machine to machine and from part to part; Home and End to the ends; Enter shows the machine in the table. The table below the map says the same in figures.';
    this.element = el('div.map', {}, help, this.scroll, this.tip, this.spoken);
    this.pixels = el('canvas');
    this.canvas.addEventListener('pointermove', (event) => this.point(event));
    this.canvas.addEventListener('pointerleave', () => this.leave());
    this.canvas.addEventListener('blur', () => this.leave());
    this.canvas.addEventListener('click', (event) => {
      const at = this.at(event);
      if (at) this.choose(this.clients[at.row].client);
    });
    this.canvas.addEventListener('keydown', (event) => this.press(event));
  }

  /** Takes rows that changed, two hexadecimal digits a column. */
  take(rows, columns) {
    if (columns !== this.columns) this.values.clear();
    this.columns = columns;
    for (const [client, hex] of Object.entries(rows)) {
      const values = new Uint8Array(columns);
      for (let at = 0; at < columns; at += 1) values[at] = Number.parseInt(hex.substr(2 * at, 2), 16);
      this.values.set(client, values);
    }
  }

  /** Who stands in which row: `{client, host, share, gone}` each. */
  order(clients) {
    this.clients = clients;
  }

  /** What a client has of part `column`, 0 to 1. */
  value(client, column) {
    return (this.values.get(client)?.[column] ?? 0) / 255;
  }

  /** What a client has of all: of the map itself, so that figure and row say the same. */
  whole({ client, share }) {
    return this.values.has(client) && share < 1 ? this.shares(client, 1)[0] : share;
  }

  /** Shares of a client's `parts` equal parts, for the table that says the same. */
  shares(client, parts) {
    const values = this.values.get(client);
    return Array.from({ length: parts }, (_, part) => {
      if (!values) return 0;
      const start = Math.floor((part * this.columns) / parts);
      const end = Math.max(start + 1, Math.floor(((part + 1) * this.columns) / parts));
      return values.subarray(start, end).reduce((sum, value) => sum + value, 0) / (255 * (end - start));
    });
  }

  measure() {
    const rows = Math.max(1, this.clients.length);
    const room = Math.max(1, Math.min(ROW_HEIGHT, HEIGHT / rows));
    const named = room >= NAMED;
    // Names stand on whole pixels; thin rows may share one.
    const height = named ? Math.floor(room) : room;
    const width = this.scroll.clientWidth;
    const narrow = width < 480;
    const left = named ? (narrow ? 76 : NAMES) : NUMBERS;
    const right = named && !narrow ? SHARES : 8;
    return { rows, height, named, left, right, width, map: Math.max(10, width - left - right) };
  }

  /** Draws all of it: some ten thousand pixels, scaled up by the canvas. */
  draw() {
    const box = this.measure();
    if (box.width === 0) return;
    this.box = box;
    const ratio = devicePixelRatio;
    const whole = Math.ceil(box.rows * box.height);
    const [width, height] = [Math.round(box.width * ratio), Math.round((whole + BELOW) * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.canvas.style.height = `${whole + BELOW}px`;
    }
    const context = this.canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, box.width, whole + BELOW);
    this.paint(context, box, whole);
    this.drawScale(context, box, whole);
    this.drawCursor(context, box);
    this.describe();
  }

  paint(context, box, whole) {
    const columns = Math.max(1, this.columns);
    if (this.pixels.width !== columns || this.pixels.height !== box.rows) {
      this.pixels.width = columns;
      this.pixels.height = box.rows;
    }
    const small = this.pixels.getContext('2d');
    const image = small.createImageData(columns, box.rows);
    const pixels = new Uint32Array(image.data.buffer).fill(this.scale[0]);
    this.clients.forEach(({ client }, row) => {
      const values = this.values.get(client);
      for (let at = 0; values && at < columns; at += 1) pixels[row * columns + at] = this.scale[values[at]];
    });
    small.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.pixels, box.left, 0, box.map, whole);
    const surface = colour('surface');
    if (box.height >= 4) {
      context.fillStyle = surface;
      for (let row = 1; row < box.rows; row += 1) {
        context.fillRect(box.left, row * box.height - (box.named ? 1 : 0.5), box.map, box.named ? 2 : 0.5);
      }
    }
    this.drawSides(context, box, surface);
  }

  drawSides(context, box, surface) {
    const [text, muted] = [colour('text'), colour('muted')];
    context.font = FONT;
    context.textBaseline = 'middle';
    this.clients.forEach((machine, row) => {
      const { host, gone } = machine;
      const middle = (row + 0.5) * box.height;
      if (gone) {
        context.globalAlpha = 0.6;
        context.fillStyle = surface;
        context.fillRect(box.left, row * box.height, box.map, box.height);
        context.globalAlpha = 1;
      }
      if (!box.named) return;
      context.fillStyle = gone ? muted : text;
      context.textAlign = 'right';
      context.fillText(fitted(context, host, box.left - 10), box.left - 8, middle);
      if (box.right < SHARES) return;
      context.fillStyle = muted;
      context.fillText(percent(this.whole(machine)), box.left + box.map + box.right - 2, middle);
    });
    if (box.named) return;
    context.fillStyle = muted;
    context.textAlign = 'right';
    const step = box.rows <= 60 ? 10 : box.rows <= 300 ? 50 : 100;
    for (let row = step; row <= box.rows; row += step) {
      context.fillText(String(row), box.left - 8, Math.max(7, (row - 0.5) * box.height));
    }
    context.fillText('1', box.left - 8, Math.max(7, 0.5 * box.height));
  }

  drawScale(context, box, whole) {
    context.fillStyle = colour('muted');
    context.font = FONT;
    context.textBaseline = 'alphabetic';
    const [marks, end] = box.map < 520 ? [[0, 0.5, 1], 'end'] : [[0, 0.25, 0.5, 0.75, 1], 'end of the stream'];
    for (const mark of marks) {
      context.textAlign = mark === 0 ? 'left' : mark === 1 ? 'right' : 'center';
      const text = mark === 0 ? 'start' : mark === 1 ? end : `${mark * 100} %`;
      const x = box.left + mark * box.map;
      context.fillText(text, x, whole + 16);
      context.fillRect(Math.min(x, box.left + box.map - 1), whole + 1, 1, 3);
    }
  }

  drawCursor(context, box) {
    const { cursor } = this;
    if (!cursor || cursor.row >= this.clients.length) return;
    context.strokeStyle = colour('text');
    context.lineWidth = 1.5;
    const width = Math.max(3, box.map / Math.max(1, this.columns));
    const x = box.left + (cursor.column / Math.max(1, this.columns)) * box.map;
    context.strokeRect(box.left - 1, cursor.row * box.height - 1, box.map + 2, Math.max(3, box.height) + 1);
    context.strokeRect(x - 1, cursor.row * box.height - 3, width + 2, Math.max(3, box.height) + 5);
  }

  describe() {
    const shares = this.clients.filter(({ gone }) => !gone).map((machine) => this.whole(machine));
    const least = Math.min(...shares, 1);
    const whole = shares.filter((share) => share >= 1).length;
    const text = shares.length === 0 ? 'Nobody is in the session.'
      : `${shares.length} machines; ${whole} have all of it; the one with least has ${percent(least)}.`;
    // Twice a second would be talkative.
    const now = performance.now();
    if (this.described !== undefined && now - this.described < 5000) return;
    this.described = now;
    setAttribute(this.canvas, 'aria-label', `How far each machine is. ${text}`);
  }

  at(event) {
    const { box } = this;
    if (!box) return null;
    const bounds = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const [row, column] = [Math.floor(y / box.height), Math.floor(((x - box.left) / box.map) * this.columns)];
    const inside = row >= 0 && row < this.clients.length && x < box.left + box.map;
    return inside ? { row, column: Math.max(0, Math.min(this.columns - 1, column)) } : null;
  }

  point(event) {
    this.move(this.at(event), false);
  }

  leave() {
    if (document.activeElement === this.canvas && this.cursor?.keyed) return;
    this.move(null, false);
  }

  press(event) {
    const { row, column } = this.cursor ?? { row: 0, column: 0 };
    const [rows, columns] = [this.clients.length, this.columns];
    if (rows === 0) return;
    const page = Math.max(1, Math.round(rows / 10));
    const steps = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      PageUp: [row - page, column],
      PageDown: [row + page, column],
      Home: event.ctrlKey ? [0, column] : [row, 0],
      End: event.ctrlKey ? [rows - 1, column] : [row, columns - 1],
    };
    if (event.key === 'Escape') this.move(null, false);
    if (event.key === 'Enter' && this.cursor) this.choose(this.clients[row].client);
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const within = (value, count) => Math.max(0, Math.min(count - 1, value));
    this.move({ row: within(step[0], rows), column: within(step[1], columns) }, true);
  }

  /** Puts the cursor somewhere, and says what is there. */
  move(at, keyed) {
    this.cursor = at && { ...at, keyed };
    show(this.tip, Boolean(at));
    if (at) {
      const machine = this.clients[at.row];
      const { client, host } = machine;
      const [from, to] = [at.column, at.column + 1].map((column) => (column / Math.max(1, this.columns)) * 100);
      const part = `part ${from.toFixed(0)}–${to.toFixed(0)} %`;
      setText(this.tip, `${host}: ${percent(this.value(client, at.column))} of ${part}, ${percent(this.whole(machine))} of all`);
      this.place(at);
      if (keyed) setText(this.spoken, this.tip.textContent);
    }
    this.draw();
  }

  place(at) {
    const { box } = this;
    const x = box.left + ((at.column + 0.5) / Math.max(1, this.columns)) * box.map;
    const y = at.row * box.height - this.scroll.scrollTop;
    const [width, height] = [this.tip.offsetWidth, this.tip.offsetHeight];
    const left = Math.max(0, Math.min(x - width / 2, box.width - width));
    const top = y - height - 10 >= -24 ? y - height - 10 : y + box.height + 10;
    this.tip.style.transform = `translate(${left.toFixed(0)}px, ${top.toFixed(0)}px)`;
  }
}

/** A text that fits into `width` pixels. */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}
