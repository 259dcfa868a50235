// What is known of bare machines: asked for while somebody looks at them, and followed as they boot.

/** Entries of the log that are kept. */
const LOG = 500;
/** What is asked for, by the name that it is kept under. */
const PARTS = {
  status: '/api/v1/pxe',
  machines: '/api/v1/pxe/machines',
  log: `/api/v1/pxe/log?limit=${LOG}`,
  computers: '/api/v1/pxe/computers',
  deployments: '/api/v1/pxe/deployments',
  images: '/api/v1/pxe/images',
  leases: '/api/v1/pxe/leases',
  check: '/api/v1/pxe/check',
};

/** Bare machines, as far as they are known; `null` stands for what was not told yet. */
export class Boots {
  constructor(store) {
    this.store = store;
    /** What changed since it was drawn. */
    this.news = new Set(Object.keys(PARTS));
    this.texts = new Map();
    for (const name of Object.keys(PARTS)) this[name] = null;
  }

  /** Asks for all of it. */
  askAll() {
    return Promise.all(Object.keys(PARTS).map((name) => this.ask(name)));
  }

  /** Asks for a part; a server that boots no machines has none of some. */
  async ask(name) {
    try {
      this.take(name, await this.store.api.get(PARTS[name]));
    } catch (error) {
      if (error.status === 404) this.take(name, null);
      else this.store.failed(error);
    }
  }

  take(name, value) {
    // What is the same is not drawn again.
    const text = JSON.stringify(value);
    if (text === this.texts.get(name)) return;
    this.note(name, value);
    this.texts.set(name, text);
  }

  note(name, value) {
    this.texts.delete(name);
    this[name] = value;
    this.news.add(name);
    this.store.changed('pxe');
  }

  /** Takes what machines were answered just now. */
  hear({ server, machines }) {
    const now = new Map((this.machines ?? []).map((machine) => [machine.mac, machine]));
    for (const machine of machines) now.set(machine.mac, machine);
    this.note('machines', [...now.values()]);
    const entries = machines.map((machine) => ({ server, ...machine })).sort((a, b) => b.ms - a.ms);
    this.note('log', [...entries, ...(this.log ?? [])].slice(0, LOG));
  }
}
