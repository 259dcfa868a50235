// The machines of a session as a table: only the rows in view are there, each kept up to date in place.

import { badge, bar, el, keep, setAttribute, setText, show } from './dom.js';
import { NONE, clientState, count, duration, isActive, loss, path, percent, rate } from './words.js';

/** Height of a row in CSS pixels, as the style sheet has it, and rows kept above and below those in view. */
const ROW_HEIGHT = 30;
const BEYOND = 8;

/** Columns: heading, what they are sorted by, and whether figures stand to the right. */
const COLUMNS = [
  ['host', 'Machine', (client) => client.host],
  ['address', 'Address', (client) => client.address],
  ['state', 'State', (client) => clientState(client.state)],
  ['path', 'Path', (client) => client.path],
  ['verified', 'Verified', share],
  ['rate', 'Rate', (client) => client.bytes_per_second, true],
  ['loss', 'Loss', (client) => client.loss, true],
  ['dropped', 'Drops', (client) => client.dropped, true],
  ['seconds', 'Time', (client) => client.seconds, true],
  ['reason', 'Reason', (client) => client.reason ?? ''],
];

const SHOWN = {
  all: () => true,
  active: (client) => isActive(client.state),
  complete: (client) => client.state === 'complete',
  gone: (client) => !isActive(client.state) && client.state !== 'complete',
};

/** What a client has, 0 to 1. */
export function share(client) {
  return client.state === 'complete' ? 1 : client.blocks > 0 ? client.verified / client.blocks : 0;
}

/** The table; `remove(client)` is called by the button of a row, which only those have who may use it. */
export class ClientTable {
  constructor({ remove, hover }) {
    this.remove = remove;
    this.hover = hover;
    this.clients = [];
    this.rows = [];
    this.sort = { key: 'host', down: false };
    this.removable = () => false;
    /** Other servers of the site do not tell how fast theirs are. */
    this.far = false;
    this.build();
  }

  build() {
    this.heads = COLUMNS.map(([key, title, , figure]) => {
      const button = el('button.sort', { type: 'button', onclick: () => this.sortBy(key) }, title);
      return el(figure ? 'th.right' : 'th', { scope: 'col', 'data-key': key }, button);
    });
    this.actionHead = el('th', { scope: 'col', 'data-key': 'action' }, el('span.unseen', {}, 'Action'));
    this.caption = el('caption.unseen', {}, 'Machines of this session');
    const columns = el('colgroup', {}, ...COLUMNS.map(([key]) => el(`col.c-${key}`)), el('col.c-action'));
    this.before = el('td', { colspan: COLUMNS.length + 1 });
    this.after = el('td', { colspan: COLUMNS.length + 1 });
    this.body = el('tbody');
    const spacer = (cell) => el('tbody', { 'aria-hidden': 'true' }, el('tr.spacer', {}, cell));
    this.table = el('table.clients', {}, this.caption, columns,
      el('thead', {}, el('tr', {}, ...this.heads, this.actionHead)), spacer(this.before), this.body, spacer(this.after));
    this.scroll = el('div.scroll', { tabindex: '0', role: 'region', 'aria-label': 'Machines of this session' }, this.table);
    this.find = el('input', { type: 'search', id: 'find', placeholder: 'name, address, reason', oninput: () => this.resort() });
    this.only = el('select', { id: 'only', onchange: () => this.resort() },
      ...[['all', 'all'], ['active', 'receiving'], ['complete', 'complete'], ['gone', 'gone without it']].map(([value, text]) =>
        el('option', { value }, text)));
    this.counted = el('p.muted', { role: 'status' });
    this.element = el('div.clients', {},
      el('div.tools', {}, el('label', {}, 'Find ', this.find), el('label', {}, 'Show ', this.only), this.counted), this.scroll);
    this.scroll.addEventListener('scroll', () => this.draw(), { passive: true });
    this.scroll.addEventListener('pointerleave', () => this.hover?.(null));
    this.showSort();
  }

  /** Takes how the clients stand. */
  take(clients, removable) {
    this.clients = clients;
    this.removable = removable;
    this.order(false);
  }

  sortBy(key) {
    this.sort = { key, down: this.sort.key === key && !this.sort.down };
    this.showSort();
    this.resort();
  }

  showSort() {
    for (const head of this.heads) {
      const mine = head.dataset.key === this.sort.key;
      setAttribute(head, 'aria-sort', mine ? (this.sort.down ? 'descending' : 'ascending') : null);
    }
  }

  resort() {
    this.order(true);
    this.draw();
  }

  /** While somebody is about to hit a row, rows stay where they are: only what is new comes below. */
  order(anew) {
    const rests = !anew && (this.body.contains(document.activeElement) || this.body.matches(':hover') || document.querySelector('dialog[open]'));
    const [, , value] = COLUMNS.find(([key]) => key === this.sort.key);
    const sign = this.sort.down ? -1 : 1;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      const order = typeof x === 'number' ? x - y : collator.compare(x, y);
      return sign * order || collator.compare(a.host, b.host) || collator.compare(a.client, b.client);
    };
    const words = this.find.value.trim().toLowerCase();
    const fits = (client) => SHOWN[this.only.value](client)
      && (words === '' || [client.host, client.address, client.reason ?? ''].some((text) => text.toLowerCase().includes(words)));
    let rows = this.clients.filter(fits).sort(compare);
    if (rests) {
      const places = new Map(this.rows.map((client, at) => [client.client, at]));
      const place = (client) => places.get(client.client) ?? Infinity;
      rows = rows.map((client) => [place(client), client]).sort(([a], [b]) => (a === b ? 0 : a - b)).map(([, client]) => client);
    }
    this.rows = rows;
    const all = this.clients.length;
    setText(this.counted, rows.length === all ? count(all, 'machine') : `${rows.length} of ${count(all, 'machine')}`);
  }

  /** Draws the rows in view. */
  draw() {
    const [top, height] = [this.scroll.scrollTop, this.scroll.clientHeight || 600];
    const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - BEYOND);
    const last = Math.min(this.rows.length, Math.ceil((top + height) / ROW_HEIGHT) + BEYOND);
    const inView = this.rows.slice(first, last);
    const held = this.body.contains(document.activeElement) ? document.activeElement.closest('tr') : null;
    if (held && !inView.some((client) => client.client === held.dataset.client)) this.scroll.focus({ preventScroll: true });
    const spacing = (cell, rows) => {
      const height = `${rows * ROW_HEIGHT}px`;
      if (cell.style.height !== height) cell.style.height = height;
      show(cell.parentElement.parentElement, rows > 0);
    };
    spacing(this.before, first);
    spacing(this.after, this.rows.length - last);
    setAttribute(this.table, 'aria-rowcount', this.rows.length + 1);
    const anyAction = this.clients.some((client) => this.removable(client));
    this.table.classList.toggle('no-action', !anyAction);
    let at = first;
    keep(this.body, inView, (client) => client.client, (client) => this.makeRow(client), (row, client) => {
      at += 1;
      this.fill(row, client, at + 1);
    });
  }

  makeRow(client) {
    const text = (kind) => el(kind ? `td.${kind}` : 'td');
    const cells = {
      host: el('th.cut', { scope: 'row' }),
      address: text('cut'),
      state: badge(),
      path: text(),
      verified: bar(),
      rate: text('right'),
      loss: text('right'),
      dropped: text('right'),
      seconds: text('right'),
      reason: text('cut'),
      button: el('button.small', { type: 'button', onclick: () => this.remove(row.client) }, 'Remove'),
    };
    const row = el('tr', { 'data-client': client.client }, cells.host, cells.address, el('td', {}, cells.state), cells.path,
      el('td', {}, cells.verified), cells.rate, cells.loss, cells.dropped, cells.seconds, cells.reason,
      el('td', {}, cells.button));
    row.addEventListener('pointerenter', () => this.hover?.(row.client.client));
    row.parts = cells;
    return row;
  }

  fill(row, client, index) {
    const cells = row.parts;
    const active = isActive(client.state);
    row.client = client;
    setAttribute(row, 'aria-rowindex', index);
    setText(cells.host, client.host);
    setText(cells.address, client.address);
    cells.state.set(client.state, clientState(client.state));
    setText(cells.path, path(client.path));
    cells.verified.set(share(client), percent(share(client)), client.state === 'complete');
    setText(cells.rate, active && !this.far ? rate(client.bytes_per_second * 8) : NONE);
    setText(cells.loss, active ? loss(client.loss) : NONE);
    setText(cells.dropped, String(client.dropped));
    setText(cells.seconds, duration(client.seconds));
    setText(cells.reason, client.reason ?? '');
    setAttribute(cells.reason, 'title', client.reason ? client.reason : null);
    setAttribute(cells.host, 'title', client.host);
    const removable = this.removable(client);
    // Whoever removed it stays in the table.
    if (!removable && document.activeElement === cells.button) this.scroll.focus({ preventScroll: true });
    show(cells.button, removable);
    if (removable) setAttribute(cells.button, 'aria-label', `Remove ${client.host}`);
  }

  /** Brings a client's row into view and marks it. */
  reveal(client) {
    let at = this.rows.findIndex((row) => row.client === client);
    if (at < 0) {
      this.find.value = '';
      this.only.value = 'all';
      this.order(true);
      at = this.rows.findIndex((row) => row.client === client);
    }
    if (at < 0) return;
    const top = at * ROW_HEIGHT;
    if (top < this.scroll.scrollTop || top + 2 * ROW_HEIGHT > this.scroll.scrollTop + this.scroll.clientHeight) {
      this.scroll.scrollTop = top - this.scroll.clientHeight / 2;
    }
    this.draw();
    const row = this.body.querySelector(`[data-client="${CSS.escape(client)}"]`);
    if (!row) return;
    row.classList.remove('found');
    requestAnimationFrame(() => row.classList.add('found'));
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    row.scrollIntoView({ block: 'nearest', behavior: still ? 'auto' : 'smooth' });
    (row.querySelector('button:not([hidden])') ?? this.scroll).focus({ preventScroll: true });
  }
}

/** `pc-9` before `pc-10`. */
export const collator = new Intl.Collator('en', { numeric: true });
