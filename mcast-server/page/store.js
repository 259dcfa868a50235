// All that the page knows: kept up to date by the stream of news, and by questions now and then for what is no news.

import { Boots } from './boots.js';
import { Series } from './series.js';

/** Between two questions for what the stream does not tell. */
const ASK_INTERVAL = 5000;
/** Between two questions for the clients of the session that is looked at, and how far an image is hashed. */
const CLIENTS_INTERVAL = 2000;
const HASHING_INTERVAL = 1000;
/** Waits before the tries to connect again; the last one for all further. */
const RETRIES = [1000, 2000, 3000, 5000];
/** Events kept, and sessions and machines asked for that are done. */
const EVENTS = 300;
const ENDED = 20;
const HISTORY = 500;
/** News by which the clocks are compared. */
const CLOCK_SAMPLES = 30;

/** What is known, and who is told that it changed. */
export class Store {
  /** `frame(topics)` is called once a frame with what changed; `refused(error)` when the token counts no more. */
  constructor(api, { frame, refused, heard }) {
    Object.assign(this, { api, frame, refused, heard });
    this.site = null;
    this.database = { well: true, text: '' };
    this.images = [];
    this.own = [];
    /** Whether the sessions of this server were told yet. */
    this.told = false;
    this.others = [];
    this.ended = [];
    this.fetching = [];
    this.queue = [];
    this.history = null;
    this.siteImages = null;
    /** Bare machines, while they are looked at. */
    this.boots = null;
    this.settings = null;
    this.events = [];
    this.series = new Map();
    this.measured = new Map();
    /** `connecting`, `live`, or `away` with why and when the next try is. */
    this.status = { kind: 'connecting' };
    /** The session that is looked at: its clients, and whether its map can be had. */
    this.open = null;
    this.clock = [];
    this.dirty = new Set();
    this.stopped = new AbortController();
  }

  start() {
    this.follow();
    this.repeat(ASK_INTERVAL, () => this.askAll());
    this.repeat(CLIENTS_INTERVAL, () => this.askClients());
    this.repeat(HASHING_INTERVAL, () => this.askHashing());
    const ticks = setInterval(() => this.changed('tick'), 1000);
    this.stopped.signal.addEventListener('abort', () => clearInterval(ticks));
    const visible = () => document.visibilityState === 'visible' && this.askAll();
    document.addEventListener('visibilitychange', visible, { signal: this.stopped.signal });
  }

  stop() {
    this.stopped.abort();
    this.close();
  }

  /** Milliseconds since 1970 by the server's clock. */
  now() {
    return Date.now() + (this.clock.length > 0 ? Math.max(...this.clock) : 0);
  }

  /** News that are `ms` old by the server's clock are here: the fastest of the last ones tells what the clocks differ. */
  noteClock(ms) {
    this.clock.push(ms - Date.now());
    if (this.clock.length > CLOCK_SAMPLES) this.clock.shift();
  }

  get isOperator() {
    return this.site?.role === 'operator';
  }

  /** All sessions of the site that run. */
  get sessions() {
    return [...this.own, ...this.others];
  }

  session(id) {
    return this.sessions.find((session) => session.id === id);
  }

  isOwn(id) {
    return this.own.some((session) => session.id === id);
  }

  /** When sessions of an image begin, in words. */
  startOf(image) {
    return this.images.find((known) => known.name === image)?.start;
  }

  changed(topic) {
    if (this.dirty.size === 0) requestAnimationFrame(() => this.flush());
    this.dirty.add(topic);
  }

  flush() {
    const topics = this.dirty;
    this.dirty = new Set();
    if (!this.stopped.signal.aborted) this.frame(topics);
  }

  /** Follows the news for as long as it may, and begins again when they cease. */
  async follow() {
    for (let failures = 0; !this.stopped.signal.aborted; ) {
      try {
        const hear = (name, data) => {
          failures = 0;
          if (this.status.kind !== 'live') this.connected();
          this.hear(name, data);
        };
        await this.api.stream('/api/v1/events', hear, this.stopped.signal);
        throw new Error('the server closed the connection');
      } catch (error) {
        if (this.stopped.signal.aborted) return;
        if (error.status === 401 || error.status === 403) return this.refused(error);
        const pause = RETRIES[Math.min(failures, RETRIES.length - 1)];
        failures += 1;
        await this.away(error.message, pause);
      }
    }
  }

  connected() {
    const back = this.status.kind === 'away';
    this.status = { kind: 'live', back };
    this.changed('status');
    this.askAll();
  }

  /** Says that the server is away, and waits for the next try or for somebody who cannot. */
  async away(text, pause) {
    const since = this.status.kind === 'away' ? this.status.since : Date.now();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      const retry = () => {
        clearTimeout(timer);
        resolve();
      };
      this.status = { kind: 'away', text, since, next: Date.now() + pause, retry };
      this.stopped.signal.addEventListener('abort', retry, { once: true });
      this.changed('status');
    });
  }

  hear(name, text) {
    const data = JSON.parse(text);
    if (name === 'sessions') this.hearSessions(data);
    if (name === 'images') this.set('images', data.images);
    if (name === 'event') this.hearEvent(data);
    if (name === 'boots') this.boots?.hear(data);
    if (name === 'missed') {
      this.events.unshift({ ms: this.now(), text: `${data} messages were missed: this page reads too slowly` });
      this.askAll();
    }
  }

  hearSessions({ ms, sessions }) {
    this.noteClock(ms);
    for (const session of sessions) {
      if (!this.series.has(session.id)) this.series.set(session.id, new Series(session.opened_ms));
      this.measured.set(session.id, this.series.get(session.id).add(session, ms));
    }
    const gone = this.own.filter((old) => !sessions.some((session) => session.id === old.id));
    for (const { id } of gone) {
      if (this.open?.id !== id) this.series.delete(id);
      this.measured.delete(id);
    }
    this.told = true;
    this.set('own', sessions, 'sessions');
    if (gone.length > 0) this.askAll();
  }

  hearEvent(event) {
    if (event.text) {
      this.events.unshift(event);
      this.events.length = Math.min(this.events.length, EVENTS);
      this.changed('events');
    }
    this.heard(event);
  }

  set(name, value, topic = name) {
    this[name] = value;
    this.changed(topic);
  }

  /** Asks for all that the stream does not tell. */
  askAll() {
    return Promise.all([
      this.ask('/api/v1/site', (site) => this.set('site', site)),
      this.ask('/api/v1/clients?path=http', (clients) => this.set('fetching', clients)),
      this.ask('/api/v1/queue', (queue) => this.set('queue', queue)),
      this.ask(`/api/v1/sessions?ended=${ENDED}`, (sessions) => this.takeSessions(sessions)),
      this.askHealth(),
      this.history && this.askHistory(),
      this.siteImages && this.askSiteImages(),
      this.boots?.askAll(),
    ]);
  }

  takeSessions(sessions) {
    const own = new Set(this.own.map((session) => session.id));
    const elsewhere = (session) => session.server !== this.site?.server && !own.has(session.id);
    this.ended = sessions.filter((session) => session.ended_ms);
    this.set('others', sessions.filter((session) => !session.ended_ms && elsewhere(session)), 'sessions');
  }

  async askHealth() {
    try {
      await this.api.get('/api/v1/ready');
      this.set('database', { well: true, text: '' });
    } catch (error) {
      if (error.status === 503) this.set('database', { well: false, text: 'the site’s database does not answer' });
    }
  }

  askHistory() {
    return this.ask(`/api/v1/history?limit=${HISTORY}`, (history) => this.set('history', history));
  }

  askSiteImages() {
    return this.ask('/api/v1/site/images', (images) => this.set('siteImages', images));
  }

  /** Has bare machines followed, until `boots` is null again. */
  lookAtBoots() {
    this.boots = new Boots(this);
    return this.boots.askAll();
  }

  askSettings() {
    return this.ask('/api/v1/settings', (settings) => this.set('settings', settings));
  }

  async askHashing() {
    const busy = this.images.some((image) => image.state === 'hashing');
    if (busy) await this.ask('/api/v1/images', (images) => this.set('images', images));
  }

  async askClients() {
    const open = this.open;
    if (!open || !this.session(open.id)) return;
    await this.ask(`/api/v1/sessions/${encodeURIComponent(open.id)}/clients`, (clients) => {
      if (this.open !== open) return;
      open.clients = clients;
      const active = clients.filter((client) => client.state === 'receiving');
      this.series.get(open.id)?.look(active.map((client) => client.loss));
      this.changed('clients');
    });
  }

  /** Has the clients and the map of a session followed; `map(rows, columns)` gets what changed of it. */
  look(id, map) {
    this.close();
    const open = { id, clients: [], stop: new AbortController(), streaming: false, map };
    this.open = open;
    this.askClients();
    // A tab that nobody sees leaves its connection to others: browsers have six for all tabs together.
    const follow = () => this.followMap(open);
    document.addEventListener('visibilitychange', follow, { signal: open.stop.signal });
    follow();
  }

  /** Nobody looks at a session any more. */
  close() {
    this.open?.stop.abort();
    this.open = null;
  }

  async followMap(open) {
    if (open.streaming) return;
    open.streaming = true;
    while (!open.stop.signal.aborted && document.visibilityState === 'visible') {
      const session = this.own.find((session) => session.id === open.id);
      if (session && this.status.kind === 'live') {
        const hidden = new AbortController();
        const hide = () => document.visibilityState === 'hidden' && hidden.abort();
        document.addEventListener('visibilitychange', hide, { signal: open.stop.signal });
        const columns = Math.max(1, Math.min(128, session.blocks));
        const path = `/api/v1/sessions/${encodeURIComponent(open.id)}/map?columns=${columns}`;
        const hear = (name, data) => {
          if (name !== 'map') return;
          const { columns, rows } = JSON.parse(data);
          open.map(rows, columns);
          this.changed('map');
        };
        // Whatever ends it: the next turn sees how the session stands.
        await this.api.stream(path, hear, AbortSignal.any([open.stop.signal, hidden.signal])).catch(() => {});
        document.removeEventListener('visibilitychange', hide);
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    open.streaming = false;
  }

  /** Asks once; what cannot be had now is asked for again anyway. */
  async ask(path, take) {
    try {
      take(await this.api.get(path));
    } catch (error) {
      this.failed(error);
    }
  }

  /** Notes why a question was not answered. */
  failed(error) {
    if (this.stopped.signal.aborted) return;
    if (error.status === 401) this.refused(error);
    if (error.status === 503) this.set('database', { well: false, text: error.message });
  }

  /** Does something again and again, while the page is seen and the server is there. */
  async repeat(interval, act) {
    while (!this.stopped.signal.aborted) {
      if (document.visibilityState === 'visible' && this.status.kind === 'live') await act();
      await new Promise((resolve) => setTimeout(resolve, interval));
    }
  }
}
