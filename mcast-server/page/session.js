// One session: how far each machine is, rate and loss over time, and what can be done about it.

import { notify } from './announce.js';
import { Chart } from './chart.js';
import { confirm } from './confirm.js';
import { badge, bar, el, keep, setText, show } from './dom.js';
import { HeatMap } from './heatmap.js';
import { serverLink } from './lists.js';
import { renderEvents } from './overview.js';
import { ClientTable, collator, share } from './table.js';
import { NONE, bytes, count, duration, isActive, list, loss, percent, rate, sessionDetail, sessionState } from './words.js';

/** Events shown. */
const EVENTS = 40;
/** Parts of the stream in the table that says what the map shows. */
const PARTS = 4;
/** Rows of the map change places this often at most. */
const SORT_INTERVAL = 3000;

/** The server's word for a machine that is the last one by chance. */
const AS_FAST = 'is as fast as the others';

/** What can be done with a session: by its state, and what is asked before. */
const COMMANDS = [
  {
    command: 'start',
    label: 'Start now',
    states: ['waiting'],
    ask: (session, active) => ({
      title: `Start ${session.image} now?`,
      text: session.awaited > active.length
        ? `${count(active.length, 'machine')} of ${session.awaited} awaited ${active.length === 1 ? 'is' : 'are'} there. The others can join later and then take what they missed.`
        : `${count(active.length, 'machine')} ${active.length === 1 ? 'is' : 'are'} there. Others can join later and then take what they missed.`,
    }),
    done: (session) => `${session.image} is started`,
  },
  {
    command: 'pause',
    label: 'Pause',
    states: ['running', 'idle'],
    ask: (session, active) => ({
      title: `Pause ${session.image}?`,
      text: `${count(active.length, 'machine')} ${active.length === 1 ? 'receives' : 'receive'} nothing until it is resumed. What they have stays.`,
    }),
    done: (session) => `${session.image} is paused`,
  },
  {
    command: 'resume',
    label: 'Resume',
    states: ['paused'],
    ask: (session, active) => ({
      title: `Resume ${session.image}?`,
      text: `The stream goes on for ${count(active.length, 'machine')}.`,
    }),
    done: (session) => `${session.image} goes on`,
  },
  {
    command: 'cancel',
    label: 'Cancel',
    states: ['waiting', 'running', 'paused', 'idle'],
    danger: true,
    ask: (session, active) => ({
      title: `Cancel the session of ${session.image}?`,
      text: active.length > 0
        ? `${count(active.length, 'machine')} without the whole image ${active.length === 1 ? 'stops' : 'stop'} at once, with an error. This cannot be undone.`
        : 'Nobody is receiving. The next machine that asks opens a new session.',
    }),
    done: (session) => `the session of ${session.image} is cancelled`,
  },
];

/** The view of one session. */
export class SessionView {
  constructor(element) {
    this.element = element;
    this.parts = Object.fromEntries([...element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
    this.state = badge();
    this.progress = bar();
    this.parts.state.append(this.state);
    this.parts.progress.append(this.progress);
    this.map = new HeatMap({ choose: (client) => this.table.reveal(client) });
    this.parts.map.append(this.map.element);
    this.table = new ClientTable({ remove: (client) => this.remove(client), hover: () => {} });
    this.parts.clients.append(this.table.element);
    this.buildCharts();
    this.buttons = COMMANDS.map((command) => {
      const kind = command.danger ? 'button.danger' : command.command === 'start' ? 'button.primary' : 'button';
      const button = el(kind, { type: 'button', id: `do-${command.command}`, onclick: () => this.act(command) }, command.label);
      this.parts.actions.append(button);
      return button;
    });
    this.parts.order.addEventListener('change', () => this.sortMap(true));
    this.parts.figures.addEventListener('toggle', () => this.renderFigures());
  }

  buildCharts() {
    this.rate = new Chart({
      title: 'Rate',
      lines: [{ name: 'on the wire', colour: 'line-1' }, { name: 'allowed', colour: 'line-2', dash: [5, 4] }],
      format: rate,
      unit: (bits) => (bits >= 1e9 ? [1e9, 'Gbit/s'] : bits >= 1e6 ? [1e6, 'Mbit/s'] : [1e3, 'kbit/s']),
      least: 1e5,
    });
    this.loss = new Chart({
      title: 'Loss',
      lines: [{ name: 'median machine', colour: 'line-1' }, { name: 'worst machine', colour: 'line-3', dash: [2, 3] }],
      format: loss,
      unit: () => [0.01, '%'],
      least: 0.01,
    });
    this.parts.charts.append(this.rate.element, this.loss.element);
  }

  /** Looks at session `id`. */
  enter(store, id) {
    this.store = store;
    this.id = id;
    this.last = null;
    this.clients = [];
    this.sorted = 0;
    this.map.values.clear();
    store.look(id, (rows, columns) => this.map.take(rows, columns));
    this.render(store, new Set(['sessions', 'clients', 'map', 'events']));
  }

  leave() {
    this.store?.close();
  }

  get heading() {
    return `Session of ${this.last?.image ?? this.id}`;
  }

  render(store, topics) {
    const session = store.session(this.id);
    if (!session && this.last && store.status.kind === 'live' && this.moveOn(store)) return;
    if (session) this.last = session;
    if (topics.has('sessions') || topics.has('tick') || topics.has('site')) this.renderState(store, session);
    if (topics.has('clients')) this.renderClients(store);
    if (topics.has('sessions')) this.renderCharts(store);
    if (topics.has('map') || topics.has('clients')) {
      this.sortMap(topics.has('clients') && this.clients.length !== this.map.clients.length);
      this.map.draw();
    }
    if (topics.has('events')) {
      const events = store.events.filter((event) => event.session === this.id).slice(0, EVENTS);
      renderEvents(this.parts.events, this.parts['no-events'], events, false);
    }
  }

  /** A server that was started again takes its sessions up under new numbers. */
  moveOn(store) {
    const again = store.own.find((session) => session.image === this.last.image && session.server === this.last.server);
    if (!again) return false;
    notify(`the server has taken ${again.image} up again`);
    location.replace(`#/session/${encodeURIComponent(again.id)}`);
    return true;
  }

  renderState(store, session) {
    const { parts } = this;
    const shown = session ?? this.last;
    show(parts.content, Boolean(shown));
    show(parts.gone, !session);
    this.renderGone(store, session);
    this.renderActions(store, session);
    if (!shown) return;
    setText(parts.image, shown.image);
    setText(parts.version, shown.version ? `version ${shown.version}` : '');
    const state = session ? shown.state : 'ended';
    this.state.set(state, sessionState(state));
    setText(parts.detail, session ? sessionDetail(shown, store.startOf(shown.image), store.now()) : '');
    this.renderFacts(store, shown, session);
    const { slowest } = shown;
    const behind = Boolean(session && slowest && shown.active > 0);
    show(parts.slowest, behind);
    if (behind) {
      const even = slowest.reason === AS_FAST;
      setText(parts['slowest-is'], even ? 'Nobody is behind: the least has ' : 'Furthest behind is ');
      setText(parts['slowest-host'], slowest.host);
      setText(parts['slowest-why'], even ? `, ${percent(slowest.progress)}.` : ` at ${percent(slowest.progress)}: it ${slowest.reason}.`);
    }
  }

  renderFacts(store, shown, session) {
    const running = session?.state === 'running';
    const own = shown.blocks > 0;
    const measured = store.measured.get(shown.id);
    this.progress.set(shown.progress, own ? percent(shown.progress) : NONE);
    const awaited = shown.state === 'waiting' && shown.awaited > 1 ? ` of ${shown.awaited}` : '';
    const facts = [
      ['Active', `${shown.active}${awaited}`],
      ['Complete', String(shown.complete)],
      ['Without the image', String(shown.failed)],
      ['Rate', running ? rate(own ? measured : shown.rate) : NONE],
      ['Median loss', running && own ? loss(shown.median_loss) : NONE],
      ['Time left', running && own ? duration(shown.remaining_seconds) : NONE],
      ['Image', bytes(shown.bytes)],
      ['Sent', bytes(shown.wire_bytes)],
      ['Group', shown.group],
      ['Server', shown.server],
    ];
    keep(this.parts.facts, facts, ([name]) => name,
      ([name]) => el('div', {}, el('dt', {}, name), el('dd')),
      (element, [, value]) => setText(element.lastElementChild, value));
  }

  renderGone(store, session) {
    if (session) return;
    const ended = store.ended.find((known) => known.id === this.id);
    const image = (this.last ?? ended)?.image;
    const text = !this.last && !store.told ? 'Looking for the session.'
      : store.status.kind !== 'live' ? 'What is shown here was so when the server was last heard.'
      : ended ? `The session of ${image} is over: ${ended.outcome ?? 'ended'}. ${ended.complete} machines have the image.`
      : image ? `The session of ${image} is over.`
      : `There is no session ${this.id} any more.`;
    setText(this.parts.gone, text);
  }

  renderActions(store, session) {
    // Not known yet, or a viewer's: no buttons that would be refused.
    const allowed = Boolean(session && store.isOperator && store.status.kind === 'live');
    COMMANDS.forEach(({ states }, at) => {
      const button = this.buttons[at];
      const shown = allowed && states.includes(session.state);
      // What was just done cannot be done again: whoever did it is not left nowhere.
      if (!shown && document.activeElement === button) this.parts.heading.focus({ preventScroll: true });
      show(button, shown);
    });
    this.renderAway(store, session);
  }

  /** Of sessions of other servers there is no picture here, but a way to it. */
  renderAway(store, session) {
    const far = Boolean(session && session.blocks === 0);
    this.table.far = far;
    show(this.parts['map-away'], far);
    show(this.parts.picture, !far);
    const server = far && store.site?.servers.find((server) => server.name === session.server);
    const link = this.parts['map-link'];
    if (server && link.textContent !== server.http) link.replaceChildren(serverLink(server));
  }

  renderClients(store) {
    this.clients = store.open?.clients ?? [];
    const allowed = store.isOperator && Boolean(store.session(this.id));
    this.table.take(this.clients, (client) => allowed && isActive(client.state));
    this.table.draw();
    this.renderFigures();
  }

  renderCharts(store) {
    const series = store.series.get(this.id);
    if (!series) return;
    this.rate.take(series.times, [series.rate, series.allowed]);
    this.loss.take(series.times, [series.median, series.worst]);
    this.rate.draw();
    this.loss.draw();
  }

  /** Brings the rows into order; not each time, so that they can be followed. */
  sortMap(anew) {
    const now = performance.now();
    if (!anew && now - this.sorted < SORT_INTERVAL) return;
    this.sorted = now;
    const rows = this.clients.map((client) => ({
      client: client.client,
      host: client.host,
      share: share(client),
      gone: !isActive(client.state) && client.state !== 'complete',
    }));
    const byHost = (a, b) => collator.compare(a.host, b.host) || collator.compare(a.client, b.client);
    const byShare = this.parts.order.value === 'progress';
    rows.sort((a, b) => a.gone - b.gone || (byShare ? a.share - b.share : 0) || byHost(a, b));
    this.map.order(rows);
    if (anew) this.map.draw();
  }

  /** The map in figures, as long as somebody wants it. */
  renderFigures() {
    if (!this.parts.figures.open) return;
    const rows = [...this.clients].sort((a, b) => collator.compare(a.host, b.host));
    keep(this.parts['figure-rows'], rows, (client) => client.client,
      () => el('tr', {}, el('th', { scope: 'row' }), ...Array.from({ length: PARTS + 1 }, () => el('td.right'))),
      ({ cells }, client) => {
        const figures = client.state === 'complete' ? Array(PARTS).fill(1) : this.map.shares(client.client, PARTS);
        setText(cells[0], client.host);
        [...figures, share(client)].forEach((figure, at) => setText(cells[at + 1], percent(figure)));
      });
  }

  async act(command) {
    const session = this.store.session(this.id);
    if (!session) return;
    const active = this.clients.filter((client) => isActive(client.state));
    const names = active.map((client) => client.host).sort(collator.compare);
    const asked = { ...command.ask(session, active), names: names.length > 0 ? [list(names, 8)] : [] };
    if (!(await confirm({ ...asked, verb: command.label, danger: command.danger }))) return;
    const path = `/api/v1/sessions/${encodeURIComponent(session.id)}`;
    await this.order(() => this.store.api.post(path, { command: command.command }), command.done(session));
  }

  async remove(client) {
    const session = this.store.session(this.id);
    if (!session) return;
    const others = this.clients.filter((other) => isActive(other.state) && other.client !== client.client).length;
    const sure = await confirm({
      title: `Remove ${client.host}?`,
      text: `${client.host} (${client.address}) is at ${percent(share(client))} of ${session.image}. It stops at once, with an error, and cannot join this session again. ${others === 0 ? 'No other machine is receiving.' : `The other ${count(others, 'machine')} ${others === 1 ? 'goes' : 'go'} on.`}`,
      verb: 'Remove',
      danger: true,
    });
    if (!sure) return;
    const path = `/api/v1/sessions/${encodeURIComponent(session.id)}/clients/${encodeURIComponent(client.client)}`;
    await this.order(() => this.store.api.delete(path), `${client.host} is removed`);
  }

  async order(send, done) {
    try {
      const { status } = await send();
      notify(status === 'passed_on' ? 'its server is told' : done);
      await this.store.askClients();
    } catch (error) {
      notify(error.help ? `${error.message}; ${error.help}` : error.message, true);
    }
  }
}
