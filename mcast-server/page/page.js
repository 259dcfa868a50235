// The web page of a distribution point: signs in, shows one view at a time, and says how the connection stands.

import { announceEvent } from './announce.js';
import { Api } from './api.js';
import { byId, setAttribute, setText, show } from './dom.js';
import { HistoryView, ImagesView, SettingsView, SiteView } from './lists.js';
import { Overview } from './overview.js';
import { PxeView } from './pxe.js';
import { SessionView } from './session.js';
import { Store } from './store.js';

/** Where the token is, in this tab alone and until it is closed. */
const TOKEN = 'mcast-token';

/** Views by the first part of the address behind #. */
const VIEWS = {
  '': ['overview', 'Sessions', Overview],
  session: ['session', 'Session', SessionView],
  images: ['images', 'Images', ImagesView],
  machines: ['machines', 'Machines', HistoryView],
  pxe: ['pxe', 'Bare machines', PxeView],
  site: ['site', 'Site', SiteView],
  settings: ['settings', 'Settings', SettingsView],
};
const ALL = new Set(['sessions', 'images', 'events', 'fetching', 'queue', 'site', 'database', 'status', 'history', 'siteImages', 'settings', 'clients', 'map', 'pxe', 'tick']);

let store = null;
let view = null;
const made = new Map();

function main() {
  setUpTheme();
  byId('sign-in-form').addEventListener('submit', (event) => {
    event.preventDefault();
    signIn(byId('token').value.trim());
  });
  byId('sign-out').addEventListener('click', () => signOut());
  byId('retry').addEventListener('click', () => store?.status.retry?.());
  byId('skip').addEventListener('click', (event) => {
    event.preventDefault();
    byId('main').focus();
  });
  addEventListener('hashchange', () => store && route(true));
  const token = sessionStorage.getItem(TOKEN);
  if (token) signIn(token, true);
  else ask();
}

/** Whether the API is on at all is known without a token. */
async function ask() {
  askForToken();
  try {
    await new Api(null).get('/api/v1/site');
  } catch (error) {
    if (error.status === 403) refuse(error);
    else if (error.status !== 401) refuse(error, 'Trying again comes to the same until it is there.');
  }
}

/** Tries a token; `known` if it was taken before. */
async function signIn(token, known = false) {
  if (token === '') return refuse({ message: 'type the token first' });
  const api = new Api(token);
  byId('sign-in-button').disabled = true;
  try {
    const site = await api.get('/api/v1/site');
    begin(api, site);
  } catch (error) {
    // The site's database may be away, or for a while the server: the token is not to blame.
    if (error.status === 503 || (error.status === 0 && known)) begin(api, null);
    else {
      sessionStorage.removeItem(TOKEN);
      askForToken();
      refuse(error);
    }
  } finally {
    byId('sign-in-button').disabled = false;
  }
}

function begin(api, site) {
  sessionStorage.setItem(TOKEN, api.token);
  byId('token').value = '';
  setText(byId('sign-in-error'), '');
  show(byId('sign-in'), false);
  for (const id of ['navigation', 'account', 'main']) show(byId(id), true);
  store = new Store(api, { frame, refused: (error) => signOut(error), heard: announceEvent });
  if (site) store.set('site', site);
  store.start();
  route(false);
}

/** Forgets the token and all that was seen; `error` says why, unless it was wanted. */
function signOut(error) {
  store?.stop();
  view?.leave?.();
  sessionStorage.removeItem(TOKEN);
  if (error) {
    store = null;
    view = null;
    askForToken();
    refuse(error);
  } else {
    // A fresh page: nothing of what was shown stays in its memory.
    location.replace(location.pathname);
  }
}

function askForToken() {
  for (const id of ['navigation', 'account', 'main', 'away']) show(byId(id), false);
  show(byId('sign-in'), true);
  document.title = 'Sign in – mcast';
  byId('token').focus();
}

function refuse(error, help = error.help) {
  const message = { 401: 'The token is not known to this server.' }[error.status] ?? sentence(error.message);
  setText(byId('sign-in-error'), help ? `${message} ${sentence(help)}` : message);
  setAttribute(byId('token'), 'aria-invalid', error.status === 401 ? 'true' : null);
  byId('token').select();
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** Shows the view that the address names; `moved` if somebody went there. */
function route(moved) {
  const [name, rest] = addressed();
  const [id, title, View] = VIEWS[name] ?? VIEWS[''];
  view?.leave?.();
  for (const [other] of Object.values(VIEWS)) show(byId(other), other === id);
  if (!made.has(id)) made.set(id, new View(byId(id)));
  view = made.get(id);
  view.enter?.(store, rest);
  for (const link of byId('navigation').querySelectorAll('a')) {
    const here = link.getAttribute('href') === `#/${id === 'overview' || id === 'session' ? '' : id}`;
    setAttribute(link, 'aria-current', here ? (id === 'session' ? 'true' : 'page') : null);
  }
  view.title = title;
  frame(ALL);
  if (moved) {
    scrollTo(0, 0);
    byId(id).querySelector('h2')?.focus({ preventScroll: true });
  }
}

/** The parts of the address behind #, as `#/session/1f-02`. */
function addressed() {
  const [name, rest = ''] = location.hash.replace(/^#\/?/, '').split('/');
  try {
    return [name, decodeURIComponent(rest)];
  } catch {
    return ['', ''];
  }
}

/** Once a frame: what changed. */
function frame(topics) {
  if (!store) return;
  if (topics.has('status') || topics.has('tick')) showStatus();
  if (topics.has('site')) {
    setText(byId('site-name'), store.site?.name ?? '');
    setText(byId('role'), store.site?.role ?? '');
  }
  view.render(store, topics);
  const title = `${view.heading ?? view.title} – ${store.site?.name ?? 'mcast'}`;
  if (document.title !== title) document.title = title;
}

function showStatus() {
  const { status } = store;
  setAttribute(byId('connection'), 'data-kind', status.kind);
  setText(byId('connection-text'), { live: 'live', away: 'no connection' }[status.kind] ?? 'connecting');
  show(byId('away'), status.kind === 'away');
  document.body.classList.toggle('stale', status.kind === 'away');
  if (status.kind === 'away') {
    const seconds = Math.max(0, Math.ceil((status.next - Date.now()) / 1000));
    setText(byId('away-text'), sentence(status.text));
    setText(byId('away-next'), seconds > 0 ? `Next try in ${seconds} s.` : 'Trying now.');
  }
  if (status.kind === 'live' && status.back) {
    status.back = false;
    setText(byId('spoken'), 'Connected again.');
  }
}

/** The choice of colours, kept for the next time. */
function setUpTheme() {
  const choice = byId('theme');
  choice.value = localStorage.getItem('theme') ?? 'system';
  choice.addEventListener('change', () => {
    if (choice.value === 'system') localStorage.removeItem('theme');
    else localStorage.setItem('theme', choice.value);
    dispatchEvent(new Event('theme-chosen'));
  });
}

main();
