// What is looked up now and then: images, machines of the past, the site and its servers, settings.

import { badge, bar, el, keep, row, setText, show } from './dom.js';
import { NONE, bytes, clientState, count, duration, moment, percent } from './words.js';

/** Rows of the history that are drawn; more are found by words. */
const HISTORY_ROWS = 200;

function partsOf(element) {
  return Object.fromEntries([...element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
}

/** Columns of a table of images. */
const IMAGE_COLUMNS = ['name', 'state', 'size', 'multicast', 'start', 'priority', 'session'];

/** The images of this server. */
export class ImagesView {
  constructor(element) {
    this.parts = partsOf(element);
  }

  render(store, topics) {
    if (topics.has('images') || topics.has('sessions')) renderImages(this.parts.rows, this.parts.none, store, IMAGE_COLUMNS);
  }
}

/** Fills a table of images with these columns. */
export function renderImages(rows, none, store, columns) {
  show(none, store.images.length === 0);
  show(rows.closest('.scroll'), store.images.length > 0);
  keep(rows, store.images, (image) => image.name, () => makeImage(columns), (element, image) => fillImage(element, image, store));
}

function makeImage(columns) {
  const [state, hashed, problem] = [badge(), bar(), el('span.problem')];
  const [name, version, session] = [el('span.first'), el('span.second'), el('td')];
  const [size, multicast, start, priority] = [el('td.right'), el('td'), el('td.wrap'), el('td.right')];
  const cells = {
    name: el('th', { scope: 'row' }, name, version),
    state: el('td.wrap', {}, state, hashed, problem),
    size, multicast, start, priority, session,
  };
  const element = el('tr', {}, ...columns.map((column) => cells[column]));
  return Object.assign(element, { parts: { name, version, state, hashed, problem, size, multicast, start, priority, session } });
}

/** How an image stands. */
const IMAGE_STATES = { settling: 'being copied', hashing: 'being hashed', ready: 'ready', broken: 'cannot be served' };

/** How an image may be had. */
const WAYS = { allowed: 'multicast and unicast', only: 'multicast only', never: 'unicast only' };

/** What is known of an image of whatever server. */
function fillKnown(parts, image) {
  setText(parts.name, image.name);
  setText(parts.version, image.version ? `version ${image.version}` : '');
  parts.state.set(image.state, IMAGE_STATES[image.state] ?? image.state);
  setText(parts.size, image.bytes === null ? NONE : bytes(image.bytes));
  setText(parts.multicast, `${WAYS[image.multicast] ?? image.multicast}${image.encrypted ? ', encrypted' : ''}`);
}

function fillImage({ parts }, image, store) {
  fillKnown(parts, image);
  const hashing = image.state === 'hashing';
  show(parts.hashed, hashing);
  if (hashing) parts.hashed.set(image.hashed ?? 0, percent(image.hashed ?? 0));
  setText(parts.problem, image.problem ?? '');
  show(parts.problem, Boolean(image.problem));
  setText(parts.start, image.multicast === 'never' ? NONE : image.start);
  setText(parts.priority, String(image.priority));
  const running = image.session && store.session(image.session);
  const name = running ? image.session : '';
  if (parts.session.dataset.session === name) return;
  parts.session.dataset.session = name;
  parts.session.replaceChildren(running ? el('a', { href: `#/session/${encodeURIComponent(name)}` }, 'look at it') : NONE);
}

/** Which machine received what. */
export class HistoryView {
  constructor(element) {
    this.parts = partsOf(element);
    this.parts.find.addEventListener('input', () => this.draw());
  }

  enter(store) {
    this.store = store;
    store.askHistory();
  }

  leave() {
    this.store.history = null;
  }

  render(store, topics) {
    if (topics.has('history')) this.draw();
  }

  draw() {
    const history = this.store?.history;
    if (!history) return;
    const { rows, none, find, counted } = this.parts;
    const words = find.value.trim().toLowerCase();
    const text = (entry) => `${entry.host} ${entry.address} ${entry.image} ${entry.server} ${entry.reason ?? ''}`.toLowerCase();
    const found = words === '' ? history : history.filter((entry) => text(entry).includes(words));
    show(none, found.length === 0);
    show(rows.closest('.scroll'), found.length > 0);
    const shown = found.slice(0, HISTORY_ROWS);
    setText(counted, shown.length < found.length ? `the last ${shown.length} of ${count(found.length, 'entry').replace('entrys', 'entries')}` : '');
    keep(rows, shown, (entry) => `${entry.session} ${entry.client}`, () => {
      const state = badge();
      const made = row([['cut', ''], ['cut', ''], ['cut', ''], el('td', {}, state), ['', ''], ['right', ''], ['', ''], ['wrap', '']]);
      return Object.assign(made, { state });
    }, (element, entry) => {
      const { cells } = element;
      setText(cells[0], entry.host || entry.client);
      setText(cells[1], entry.address);
      setText(cells[2], entry.version ? `${entry.image}, ${entry.version}` : entry.image);
      element.state.set(entry.state, `${clientState(entry.state)}${entry.path === 'http' ? ', by HTTP' : ''}`);
      setText(cells[4], moment(entry.joined_ms));
      setText(cells[5], entry.ended_ms ? duration((entry.ended_ms - entry.joined_ms) / 1000) : NONE);
      setText(cells[6], entry.server);
      setText(cells[7], entry.reason ?? '');
    });
  }
}

/** Digits of an image's hash that tell contents apart for people. */
const CONTENT_DIGITS = 12;

/** The site, its servers, their images and its database. */
export class SiteView {
  constructor(element) {
    this.parts = partsOf(element);
  }

  enter(store) {
    this.store = store;
    store.askSiteImages();
  }

  leave() {
    this.store.siteImages = null;
  }

  render(store, topics) {
    if (topics.has('site') || topics.has('database')) this.drawSite(store);
    if (topics.has('siteImages') && store.siteImages) this.drawImages(store.siteImages);
  }

  drawImages(images) {
    keep(this.parts.images, images, (image) => `${image.server} ${image.name}`, () => {
      const [state, name, version] = [badge(), el('span.first'), el('span.second')];
      const [server, size, multicast, content] = [el('td'), el('td.right'), el('td'), el('td.code')];
      const element = el('tr', {}, el('th', { scope: 'row' }, name, version), server, el('td', {}, state), size, multicast, content);
      return Object.assign(element, { parts: { name, version, server, state, size, multicast, content } });
    }, ({ parts }, image) => {
      fillKnown(parts, image);
      setText(parts.server, image.server);
      setText(parts.content, image.root ? image.root.slice(0, CONTENT_DIGITS) : NONE);
    });
  }

  drawSite({ site, database }) {
    const role = { operator: 'operator: may see and do everything', viewer: 'viewer: may see everything' };
    const facts = [
      ['Database', database.well ? 'answers' : database.text],
      ['Site', site ? site.name : NONE],
      ['This server', site ? `${site.server}, version ${site.version}` : NONE],
      ['Control port', site ? `UDP ${site.control_port}` : NONE],
      ['Fingerprint', site?.fingerprint ?? (site ? 'none: this address speaks no TLS' : NONE)],
      ['Your token', site ? (role[site.role] ?? site.role) : NONE],
      ['Site number', site ? site.id : NONE],
    ];
    keep(this.parts.facts, facts, ([name]) => name,
      ([name]) => el('div', {}, el('dt', {}, name), el('dd')),
      (element, [, value]) => setText(element.lastElementChild, value));
    keep(this.parts.rows, site?.servers ?? [], (server) => server.id, () => {
      const state = badge();
      const made = row([['', ''], el('td', {}, state), ['', ''], el('td'), ['', '']]);
      return Object.assign(made, { state });
    }, (element, server) => {
      const { cells } = element;
      setText(cells[0], server.name);
      element.state.set(server.dead ? 'silent' : 'ready', server.dead ? 'stopped or not heard' : 'serves');
      setText(cells[2], server.control);
      if (cells[3].textContent !== server.http) cells[3].replaceChildren(serverLink(server));
      setText(cells[4], server.version);
    });
  }
}

/** A link to a server's page; only if it is an address of the web. */
export function serverLink({ http, dead }) {
  const web = /^https?:\/\//.test(http) && !dead;
  return web ? el('a', { href: http, target: '_blank', rel: 'noopener noreferrer' }, http) : el('span', {}, http);
}

/** The settings as they count now. */
export class SettingsView {
  constructor(element) {
    this.parts = partsOf(element);
  }

  enter(store) {
    store.askSettings();
  }

  render(store, topics) {
    if (!topics.has('settings') || !store.settings) return;
    const groups = Map.groupBy(store.settings, ({ key }) => key.split(/[.[]/)[0]);
    keep(this.parts.groups, [...groups], ([name]) => name, ([name]) => {
      const id = `settings-${name}`;
      const body = el('tbody');
      const head = el('thead.unseen', {}, el('tr', {}, el('th', { scope: 'col' }, 'Setting'), el('th', { scope: 'col' }, 'Value')));
      const table = el('table.settings', { 'aria-labelledby': id }, head, body);
      return Object.assign(el('section.card', {}, el('h3', { id }, name), table), { body });
    }, (element, [, settings]) => {
      keep(element.body, settings, ({ key }) => key, () => row([['code', ''], ['code wrap', '']]),
        ({ cells }, { key, value }) => {
          setText(cells[0], key);
          setText(cells[1], value);
        });
    });
  }
}
