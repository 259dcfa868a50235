// Rate and loss of a session over time, as this page saw them.

/** Points kept: two hours at one a second; then every other one goes. */
const LIMIT = 7200;
/** Over how long the rate is measured: messages come once a second, not quite regularly. */
const METER = 3000;

/** A session's figures over time; times are seconds since it was opened. */
export class Series {
  constructor(openedMs) {
    this.openedMs = openedMs;
    this.times = [];
    /** Bits per second that went out, and those that it may send. */
    this.rate = [];
    this.allowed = [];
    /** Loss of the median client and of the worst one, 0 to 1. */
    this.median = [];
    this.worst = [];
    this.meter = [];
    this.worstNow = NaN;
  }

  /** Takes in how the session stands at `ms` since 1970; gives the measured rate. */
  add(session, ms) {
    const last = this.meter.at(-1);
    if (last && session.wire_bytes < last.bytes) this.meter = [];
    this.meter.push({ ms, bytes: session.wire_bytes });
    while (this.meter.length > 2 && ms - this.meter[1].ms >= METER) this.meter.shift();
    const first = this.meter[0];
    const measured = ms > first.ms ? ((session.wire_bytes - first.bytes) * 8000) / (ms - first.ms) : NaN;
    this.times.push((ms - this.openedMs) / 1000);
    this.rate.push(measured);
    this.allowed.push(session.rate);
    this.median.push(session.active > 0 ? session.median_loss : NaN);
    this.worst.push(session.active > 0 ? this.worstNow : NaN);
    if (this.times.length > LIMIT) this.thin();
    return measured;
  }

  /** Takes in the clients, of which the worst loss is kept with the next points. */
  look(losses) {
    this.worstNow = losses.reduce((most, loss) => Math.max(most, loss), 0);
  }

  thin() {
    for (const name of ['times', 'rate', 'allowed', 'median', 'worst']) {
      this[name] = this[name].filter((_, at) => at % 2 === 0);
    }
  }
}
