// Bare machines: who is booting, who asked and was refused why, and what the site has for them.

import { notify } from './announce.js';
import { confirm } from './confirm.js';
import { badge, el, keep, row, setAttribute, setText, show } from './dom.js';
import { collator } from './table.js';
import { NONE, bytes, count, duration, moment } from './words.js';

/** Rows of a table that are drawn, and of the log; more are found by words. */
const ROWS = 500;
const LOG_ROWS = 200;

/** How far a machine is, in words and in the order in which it gets there. */
const STAGES = {
  dhcp: 'asks for a boot file',
  loader: 'loads the boot program',
  script: 'has its script',
  kernel: 'loads what it boots',
  client: 'the client runs',
};
const ORDER = Object.keys(STAGES);
/** It is not on its way to the client any more. */
const DISK = 'sent to its disk';

/** What can be done for all machines: when it is offered, and what is asked before. */
const ORDERS = [
  {
    id: 'pxe-stop',
    label: 'Answer nobody',
    offered: (status) => status.respond,
    change: { respond: false },
    ask: { title: 'Answer no machine any more?', text: 'Machines that start from the network find no boot server in this site, at all of its servers, until it is turned on again. Those that boot already go on.', danger: true },
    done: 'no machine is answered any more',
  },
  {
    id: 'pxe-start',
    label: 'Answer machines',
    offered: (status) => !status.respond,
    change: { respond: true },
    ask: { title: 'Answer machines?', text: 'Machines that start from the network boot what their deployments say: those that are required without a question.' },
    done: 'machines are answered',
  },
  {
    id: 'pxe-known',
    label: 'Answer known machines only',
    offered: (status) => status.unknown,
    change: { unknown: false },
    ask: { title: 'Answer known machines only?', text: 'Machines that the site does not know are refused from now on.' },
    done: 'machines that the site does not know are refused',
  },
  {
    id: 'pxe-unknown',
    label: 'Answer unknown machines, too',
    offered: (status) => !status.unknown,
    change: { unknown: true },
    ask: { title: 'Answer machines that the site does not know?', text: 'Whatever starts from one of these networks boots a deployment for unknown or for all machines, if there is one. A required one boots without a question, and what it does to the disk cannot be undone.', danger: true },
    done: 'machines that the site does not know are answered, too',
  },
];

/** The view of bare machines. */
export class PxeView {
  constructor(element) {
    this.parts = Object.fromEntries([...element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
    this.heading2 = element.querySelector('h2');
    this.state = badge();
    this.parts.state.append(this.state);
    this.buttons = ORDERS.map((order) => {
      const kind = order.ask.danger ? 'button.danger' : 'button';
      const button = el(kind, { type: 'button', id: order.id, onclick: () => this.change(order) }, order.label);
      this.parts.actions.append(button);
      return button;
    });
    this.parts['boots-find'].addEventListener('input', () => this.drawLog());
    this.parts['boots-only'].addEventListener('change', () => this.drawLog());
    this.parts['computers-find'].addEventListener('input', () => this.drawComputers());
  }

  enter(store) {
    this.store = store;
    store.lookAtBoots();
  }

  leave() {
    this.store.boots = null;
  }

  render(store, topics) {
    const { boots } = store;
    if (!boots) return;
    // Who may act, and whether the server is there.
    const all = topics.has('site') || topics.has('status');
    const changed = (...names) => all || names.some((name) => boots.news.has(name));
    if (changed('status')) this.drawStatus(boots);
    if (changed('check')) this.drawFindings(boots);
    if (changed('machines')) this.drawBooting(boots);
    if (changed('log')) this.drawLog();
    if (changed('computers')) this.drawComputers();
    if (changed('deployments')) this.drawDeployments(boots);
    if (changed('images')) this.drawImages(boots);
    if (changed('leases', 'status')) this.drawLeases(boots);
    boots.news.clear();
    if (topics.has('tick')) this.drawAges();
  }

  get mayAct() {
    return this.store.isOperator && this.store.status.kind === 'live';
  }

  drawStatus({ status }) {
    const [kind, words] = !status ? ['connecting', 'not known yet']
      : !status.enabled ? ['ended', 'this server boots no machines']
        : !status.respond ? ['paused', 'no machine is answered']
          : status.respond_here ? ['ready', 'machines are answered'] : ['paused', 'this server answers none (pxe.respond)'];
    this.state.set(kind, words);
    const networks = (status?.interfaces ?? []).map(({ name, addresses }) => `${name} (${addresses.join(', ')})`);
    setText(this.parts.detail, networks.length > 0 ? `on ${networks.join(', ')}` : '');
    show(this.parts.away, status?.enabled === false);
    setText(this.parts.away, 'Computers, deployments and the log are those of the site. To have this server boot machines set pxe.enabled in its configuration.');
    const mode = { proxy: 'beside a DHCP server', full: 'as DHCP server', off: 'files only' };
    const facts = status ? [
      ['Mode', status.enabled ? (mode[status.mode] ?? status.mode ?? NONE) : NONE],
      ['Booting', String(status.booting)],
      ['Unknown machines', (status.unknown_here ?? status.unknown) ? 'answered' : 'refused'],
      ['Password', status.password ? 'asked for' : 'none'],
      ['Computers', String(status.computers)],
      ['Deployments', String(status.deployments)],
      ['Leases', String(status.leases)],
    ] : [];
    keep(this.parts.facts, facts, ([name]) => name,
      ([name]) => el('div', {}, el('dt', {}, name), el('dd')),
      (element, [, value]) => setText(element.lastElementChild, value));
    ORDERS.forEach(({ offered }, at) => {
      const shown = Boolean(status && this.mayAct && offered(status));
      if (!shown && document.activeElement === this.buttons[at]) this.heading2.focus({ preventScroll: true });
      show(this.buttons[at], shown);
    });
  }

  drawFindings({ check }) {
    const findings = check?.findings ?? [];
    show(this.parts.problems, findings.length > 0);
    keep(this.parts.findings, findings, ({ kind, text }) => `${kind} ${text}`,
      ({ text, help }) => el('li', {}, text, help ? el('span.second', {}, help) : null));
  }

  drawBooting({ machines }) {
    // By when they came: rows do not change places as they are heard of.
    const all = [...(machines ?? [])].sort((a, b) => b.since_ms - a.since_ms || collator.compare(a.mac, b.mac));
    const shown = all.slice(0, ROWS);
    this.list('booting', shown);
    const refused = all.filter((machine) => machine.refused).length;
    const counted = `${count(all.length, 'machine')}${refused > 0 ? `, ${refused} refused` : ''}${some(shown, all)}`;
    setText(this.parts['booting-counted'], all.length > 0 ? counted : '');
    keep(this.parts.booting, shown, (machine) => machine.mac, () => {
      const [made, steps, state] = [machineRow(6), stepsBar(), badge()];
      made.cells[2].append(state, steps);
      made.cells[4].className = 'right';
      made.cells[5].className = 'wrap told';
      return Object.assign(made, { state, steps });
    }, (element, machine) => {
      const { cells } = element;
      element.since = machine.since_ms;
      element.fill(machine);
      setText(cells[1], machine.address ?? NONE);
      element.state.set(...stage(machine));
      element.steps.set(machine);
      setText(cells[3], machine.deployment ?? NONE);
      setText(cells[5], machine.text);
    });
    this.drawAges();
  }

  /** For how long machines are booting. */
  drawAges() {
    const now = this.store.now();
    for (const { cells, since } of this.parts.booting.rows) setText(cells[4], duration(Math.max(0, (now - since) / 1000)));
  }

  /** The first of those in whose texts the words of a field are; says how many more there are. */
  found(name, all, texts, limit = ROWS) {
    const words = this.parts[`${name}-find`].value.trim().toLowerCase();
    const fits = (item) => texts(item).some((text) => text?.toLowerCase().includes(words));
    const found = words === '' ? all : all.filter(fits);
    const shown = found.slice(0, limit);
    this.list(name, shown);
    setText(this.parts[`${name}-counted`], some(shown, found).replace(/^, /, ''));
    return shown;
  }

  drawLog() {
    const only = this.parts['boots-only'].value === 'refused';
    const log = (this.store?.boots?.log ?? []).filter((entry) => !only || entry.refused);
    const entries = this.found('boots', log, ({ mac, computer, address, deployment, text, uuid }) => [mac, computer, address, deployment, text, uuid], LOG_ROWS);
    keep(this.parts.boots, entries, (entry) => `${entry.ms} ${entry.mac} ${entry.stage} ${entry.text}`, (entry) => {
      const [made, state] = [machineRow(5), badge()];
      made.cells[2].append(state);
      made.cells[4].className = 'wrap told';
      // An entry does not change.
      made.fill(entry);
      setText(made.cells[1], moment(entry.ms));
      state.set(...stage(entry));
      setText(made.cells[3], entry.deployment ?? NONE);
      setText(made.cells[4], entry.text);
      return made;
    });
  }

  drawComputers() {
    const computers = this.found('computers', this.store?.boots?.computers ?? [], ({ name, macs, uuid, address }) => [name, ...macs, uuid, address]);
    keep(this.parts.computers, computers, (computer) => computer.name, () => row([['cut', ''], ['code wrap', ''], ['', '']]),
      ({ cells }, { name, macs, uuid, address }) => {
        setText(cells[0], name);
        setText(cells[1], [...macs, uuid].filter(Boolean).join(' '));
        setText(cells[2], address ?? NONE);
      });
  }

  drawDeployments({ deployments }) {
    const all = deployments ?? [];
    this.list('deployments', all);
    keep(this.parts.deployments, all, (one) => one.name, (one) => {
      const again = el('button.small', { type: 'button', 'aria-label': `Once more: ${one.name}`, onclick: () => this.again(made.one) }, 'Once more');
      const made = row([['cut', ''], ['cut', ''], ['cut', ''], ['cut', ''], ['wrap', ''], ['right', ''], el('td.right', {}, again)]);
      return Object.assign(made, { again });
    }, (element, one) => {
      const { cells } = element;
      element.one = one;
      setText(cells[0], one.name);
      setText(cells[1], target(one.target));
      setText(cells[2], one.boot_image);
      setText(cells[3], one.image ?? NONE);
      setText(cells[4], when(one));
      setText(cells[5], one.once ? String(one.done.length) : NONE);
      const shown = this.mayAct && one.done.length > 0;
      if (!shown && document.activeElement === element.again) this.heading2.focus({ preventScroll: true });
      show(element.again, shown);
    });
  }

  drawImages({ images }) {
    const all = images ?? [];
    this.list('images', all);
    keep(this.parts.images, all, (image) => image.name, () => row([['cut', ''], ['wrap', ''], ['right', ''], ['wrap', '']]),
      ({ cells }, image) => {
        setText(cells[0], image.name);
        setText(cells[1], image.programs.map(({ platform, kind }) => `${platform} (${kind})`).join(', '));
        setText(cells[2], bytes(image.bytes));
        setText(cells[3], [...new Set(image.programs.flatMap(({ files }) => files))].join(', '));
      });
  }

  drawLeases({ leases, status }) {
    const all = leases ?? [];
    const shown = all.slice(0, ROWS);
    show(this.parts['leases-card'], all.length > 0 || status?.mode === 'full');
    this.list('leases', shown);
    setText(this.parts['leases-counted'], some(shown, all).replace(/^, /, ''));
    keep(this.parts.leases, shown, (lease) => lease.address, (lease) => {
      const forget = el('button.small', { type: 'button', 'aria-label': `Forget ${lease.address}`, onclick: () => this.forget(made.lease) }, 'Forget');
      const made = row([['', ''], ['cut', ''], ['', ''], el('td.right', {}, forget)]);
      return Object.assign(made, { forget });
    }, (element, lease) => {
      const { cells } = element;
      element.lease = lease;
      setText(cells[0], lease.address);
      setText(cells[1], lease.computer ?? lease.mac);
      setText(cells[2], moment(lease.until_ms));
      if (!this.mayAct && document.activeElement === element.forget) this.heading2.focus({ preventScroll: true });
      show(element.forget, this.mayAct);
    });
  }

  /** Shows a table, or that it has nothing. */
  list(name, items) {
    show(this.parts[`no-${name}`], items.length === 0);
    show(this.parts[name].closest('.scroll'), items.length > 0);
  }

  async change({ label, change, ask, done }) {
    if (!await confirm({ ...ask, verb: label })) return;
    await this.order(() => this.store.api.put('/api/v1/pxe/policy', change), done, 'status');
  }

  async again(one) {
    const sure = await confirm({
      title: `Have ${one.name} boot once more?`,
      text: `It counts as not done again on ${count(one.done.length, 'machine')}: each boots ${one.boot_image} when it starts from the network next time.`,
      names: one.done.slice(0, 20),
      verb: 'Once more',
      danger: true,
    });
    if (!sure) return;
    const path = `/api/v1/pxe/deployments/${encodeURIComponent(one.name)}/again`;
    await this.order(() => this.store.api.post(path, {}), `${one.name} boots once more`, 'deployments');
  }

  async forget(lease) {
    const sure = await confirm({
      title: `Forget the lease of ${lease.address}?`,
      text: `${lease.computer ?? lease.mac} may still use it: somebody else can get the same address then.`,
      verb: 'Forget',
      danger: true,
    });
    if (!sure) return;
    await this.order(() => this.store.api.delete(`/api/v1/pxe/leases/${encodeURIComponent(lease.address)}`), `the lease of ${lease.address} is forgotten`, 'leases');
  }

  async order(send, done, part) {
    try {
      await send();
      notify(done);
      await this.store.boots?.ask(part);
    } catch (error) {
      notify(error.help ? `${error.message}; ${error.help}` : error.message, true);
    }
  }
}

/** A row that begins with a machine: its name, or its card and nothing else. */
function machineRow(columns) {
  const [name, card] = [el('span.first'), el('span.second')];
  const made = row([el('th', { scope: 'row' }, name, card), ...Array.from({ length: columns - 1 }, () => ['', ''])]);
  made.fill = ({ computer, mac, platform, refused, uuid }) => {
    setText(name, computer ?? mac);
    setText(card, [computer ? mac : null, platform].filter(Boolean).join(', '));
    setAttribute(made, 'title', uuid ? `board ${uuid}` : null);
    made.classList.toggle('refused', refused);
  };
  return made;
}

/** How many of the stages are behind a machine; the words stand beside it. */
function stepsBar() {
  const parts = ORDER.map(() => el('span'));
  const whole = el('span.steps', { 'aria-hidden': 'true' }, ...parts);
  whole.set = ({ stage, refused }) => {
    show(whole, !refused && stage in STAGES);
    const at = ORDER.indexOf(stage);
    parts.forEach((part, number) => {
      part.classList.toggle('passed', number <= at);
      part.classList.toggle('whole', at === ORDER.length - 1);
    });
  };
  return whole;
}

/** Mark and words of a stage. */
function stage({ stage, refused }) {
  return refused ? ['refused', 'refused'] : [stage, STAGES[stage] ?? DISK];
}

/** Whom a deployment is for. */
function target(text) {
  return { known: 'known computers', unknown: 'unknown machines', all: 'all machines' }[text] ?? text.replace(/^computer:/, '');
}

/** When a deployment boots. */
function when({ available_seconds: seconds, once, until_ms: until, over }) {
  const parts = [seconds ? `if a key is pressed within ${seconds} s` : once ? 'at the next start' : 'at every start'];
  if (once) parts.push('once on each machine');
  if (until) parts.push(over ? `over since ${moment(until)}` : `until ${moment(until)}`);
  return parts.join(', ');
}

/** That some are not drawn. */
function some(shown, all) {
  return shown.length < all.length ? `, the first ${shown.length} of ${all.length} are shown` : '';
}
