// Sessions at a glance, and what goes on beside them.

import { badge, bar, el, keep, row, setText, show } from './dom.js';
import { renderImages } from './lists.js';
import { NONE, duration, loss, moment, percent, rate, sessionDetail, sessionState, clientState } from './words.js';

/** Events shown. */
const EVENTS = 40;
/** What is told of images here. */
const GLANCE = ['name', 'state', 'size', 'start'];

/** The view of all sessions. */
export class Overview {
  constructor(element) {
    this.element = element;
    this.parts = Object.fromEntries([...element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
  }

  render(store, topics) {
    const any = (...names) => names.some((name) => topics.has(name));
    if (any('sessions', 'tick', 'images', 'site')) this.renderSessions(store);
    if (any('sessions', 'queue', 'fetching', 'database', 'site', 'status')) this.renderFacts(store);
    if (any('images', 'database', 'site')) this.renderProblems(store);
    if (any('fetching')) this.renderFetching(store);
    if (any('queue')) this.renderQueue(store);
    if (any('images')) renderImages(this.parts.images, this.parts['no-images'], store, GLANCE);
    if (any('sessions')) this.renderEnded(store);
    if (any('events')) renderEvents(this.parts.events, this.parts['no-events'], store.events.slice(0, EVENTS), true);
  }

  renderFacts(store) {
    const { sessions } = store;
    const sum = (of) => sessions.reduce((total, session) => total + of(session), 0);
    const sending = [...store.measured.values()].filter(Number.isFinite).reduce((a, b) => a + b, 0);
    const http = store.fetching.filter((client) => client.state !== 'complete').length;
    const facts = [
      ['Sessions', String(sessions.length)],
      ['Receiving', String(sum((session) => session.active))],
      ['Complete', String(sum((session) => session.complete))],
      ['Without the image', String(sum((session) => session.failed))],
      ['Sending', rate(sending)],
      ['By HTTP', String(http)],
      ['Waiting for a place', String(store.queue.length)],
    ];
    keep(this.parts.facts, facts, ([name]) => name,
      ([name]) => el('div', {}, el('dt', {}, name), el('dd')),
      (element, [, value]) => setText(element.lastElementChild, value));
  }

  renderProblems(store) {
    const problems = [];
    if (!store.database.well) problems.push(`${store.database.text}. Sessions go on; history and other servers are not known.`);
    for (const image of store.images) if (image.problem) problems.push(`${image.name} cannot be served: ${image.problem}`);
    for (const server of store.site?.servers ?? []) {
      const busy = store.others.some((session) => session.server === server.name);
      if (server.dead && busy) problems.push(`server ${server.name} is not heard of`);
    }
    keep(this.parts.problems, problems, (text) => text, (text) => el('li', {}, text));
    show(this.parts.problems.parentElement, problems.length > 0);
  }

  renderSessions(store) {
    const { sessions } = store;
    show(this.parts['no-sessions'], sessions.length === 0);
    show(this.parts.sessions.closest('.scroll'), sessions.length > 0);
    keep(this.parts.sessions, sessions, (session) => session.id, makeSession, (element, session) => fillSession(element, session, store));
  }

  renderFetching(store) {
    const clients = store.fetching;
    show(this.parts['fetching-card'], clients.length > 0);
    keep(this.parts.fetching, clients, (client) => `${client.client} ${client.image}`, () => {
      const [state, verified] = [badge(), bar()];
      const made = row([['cut', ''], ['cut', ''], el('td', {}, state), el('td', {}, verified), ['right', ''], ['wrap', '']]);
      return Object.assign(made, { state, verified });
    }, (element, client) => {
      const cells = element.cells;
      setText(cells[0], client.host || client.client);
      setText(cells[1], client.image);
      element.state.set(client.state, clientState(client.state));
      const share = client.blocks > 0 ? client.verified / client.blocks : 0;
      element.verified.set(share, percent(share));
      setText(cells[4], client.state === 'receiving' ? rate(client.bytes_per_second * 8) : NONE);
      setText(cells[5], client.reason ?? 'not said');
    });
  }

  renderQueue(store) {
    show(this.parts['queue-card'], store.queue.length > 0);
    const places = store.queue.slice(0, 50).map((waiting, at) => ({ ...waiting, at }));
    keep(this.parts.queue, places, (waiting) => `${waiting.client} ${waiting.image}`, () => el('li', {}, el('b'), el('span')),
      (element, { host, client, image }) => {
        setText(element.firstElementChild, host || client);
        setText(element.lastElementChild, ` for ${image}`);
      });
  }

  renderEnded(store) {
    const ended = store.ended.slice(0, 8);
    show(this.parts['ended-card'], ended.length > 0);
    keep(this.parts.ended, ended, (session) => session.id,
      () => row([['cut', ''], ['', ''], ['', ''], ['', ''], ['right', '']]),
      ({ cells }, session) => {
        setText(cells[0], session.image);
        setText(cells[1], moment(session.ended_ms));
        setText(cells[2], session.outcome ?? NONE);
        setText(cells[3], `${session.complete} of ${session.active + session.complete + session.failed}`);
        setText(cells[4], duration((session.ended_ms - session.opened_ms) / 1000));
      });
  }
}

function makeSession(session) {
  const [state, progress] = [badge(), bar()];
  const link = el('a', { href: `#/session/${encodeURIComponent(session.id)}` });
  const two = () => [el('span.first'), el('span.second')];
  const [image, version] = [el('span.first', {}, link), el('span.second')];
  const [detail, [clients, others], [speed, allowed]] = [el('span.second'), two(), two()];
  const [lost, left, server] = [el('td.right'), el('td.right'), el('td')];
  const element = el('tr', {}, el('th', { scope: 'row' }, image, version), el('td', {}, state, detail), el('td', {}, clients, others),
    el('td', {}, progress), el('td.right', {}, speed, allowed), lost, left, server);
  return Object.assign(element, { parts: { link, version, state, detail, clients, others, progress, speed, allowed, lost, left, server } });
}

function fillSession({ parts }, session, store) {
  const running = session.state === 'running';
  // Other servers of the site tell less of theirs.
  const own = session.blocks > 0;
  setText(parts.link, session.image);
  setText(parts.version, session.version ? `version ${session.version}` : '');
  parts.state.set(session.state, sessionState(session.state));
  setText(parts.detail, sessionDetail(session, store.startOf(session.image), store.now()));
  setText(parts.clients, `${session.active} active, ${session.complete} complete`);
  setText(parts.others, session.failed > 0 ? `${session.failed} without it` : '');
  const all = session.active + session.complete;
  if (own) parts.progress.set(session.progress, percent(session.progress), all > 0 && session.progress >= 1);
  else parts.progress.set(all > 0 ? session.complete / all : 0, `${session.complete} of ${all}`);
  const measured = store.measured.get(session.id);
  setText(parts.speed, running ? rate(own ? measured : session.rate) : NONE);
  setText(parts.allowed, running && own ? `of ${rate(session.rate)}` : '');
  setText(parts.lost, running && own ? loss(session.median_loss) : NONE);
  setText(parts.left, running && own ? duration(session.remaining_seconds) : NONE);
  setText(parts.server, session.server);
}

/** Fills a list of events; `named` with the image that each is about. */
export function renderEvents(list, none, events, named) {
  show(none, events.length === 0);
  keep(list, events, (event) => event, (event) =>
    el('li', {}, el('time', {}, moment(event.ms)), el('span', {}, named && event.image ? `${event.image}: ${event.text}` : event.text)));
}
