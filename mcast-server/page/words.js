// Figures and states as people read them: in the same words as the command line.

/** Bits per second in three digits. */
export function rate(bits) {
  if (!Number.isFinite(bits)) return NONE;
  const [value, unit] = bits >= 1e9 ? [bits / 1e9, 'Gbit/s'] : bits >= 1e6 ? [bits / 1e6, 'Mbit/s'] : [bits / 1e3, 'kbit/s'];
  return `${digits(value)} ${unit}`;
}

/** Bytes in three digits, by powers of 1024. */
export function bytes(count) {
  if (!Number.isFinite(count)) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; count >= 1024 && at < units.length - 1; at += 1) count /= 1024;
  return at === 0 ? `${count} B` : `${digits(count)} ${units[at]}`;
}

/** A part of 1. */
export function percent(share, decimals = 0) {
  if (!Number.isFinite(share)) return NONE;
  // 100 % is said only of what is whole.
  const scale = 100 * 10 ** decimals;
  return `${(Math.floor(share * scale + 1e-9) / 10 ** decimals).toFixed(decimals)} %`;
}

/** A loss: its decimals matter where it is small. */
export function loss(share) {
  if (!Number.isFinite(share)) return NONE;
  return share > 0 && share < 0.0005 ? '< 0.1 %' : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** Seconds, coarser the more there are. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** Seconds as on a clock: 4:32, or 1:04:32. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (number) => String(number).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A moment, milliseconds since 1970: its time, and its date unless that is today. */
export function moment(ms) {
  if (!ms) return NONE;
  const date = new Date(ms);
  const time = date.toLocaleTimeString('en-GB');
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString('en-CA')} ${time}`;
}

/** `1 machine`, `2 machines`. */
export function count(number, what) {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** `a, b and c`, or `a, b and 7 others`. */
export function list(names, limit = 4) {
  const shown = names.length > limit + 1 ? names.slice(0, limit) : names;
  const others = names.length - shown.length;
  const all = others > 0 ? [...shown, count(others, 'other')] : shown;
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`;
}

/** What a session does. */
export function sessionState(state) {
  return { waiting: 'Waiting', running: 'Sending', paused: 'Paused', idle: 'Idle', ended: 'Ended' }[state] ?? state;
}

/** The same, with what it waits for or why it rests; `now` in milliseconds since 1970. */
export function sessionDetail(session, start, now) {
  if (session.state === 'waiting') {
    const parts = [];
    if (session.awaited > 1) parts.push(`${session.active} of ${count(session.awaited, 'machine')} there`);
    if (session.starts_ms) {
      const left = (session.starts_ms - now) / 1000;
      parts.push(left > 0 ? `starts in ${clock(left)}` : 'starts with the next machine that is ready');
    }
    if (parts.length === 0 && start) parts.push(start === 'on command' ? 'starts on command' : `starts ${start}`);
    return parts.join(', ');
  }
  if (session.state === 'idle') return 'everybody is served; late comers are taken in';
  if (session.state === 'paused') return 'until it is resumed';
  return session.outcome ?? '';
}

/** Where a client stands. */
export function clientState(state) {
  return { given_up: 'given up', moved: 'changing over' }[state] ?? state;
}

/** The way that a client gets its image. */
export function path(path) {
  return { slower: 'slower stream', http: 'HTTP' }[path] ?? path;
}

/** Whether a client in this state still receives. */
export function isActive(state) {
  return state === 'joined' || state === 'receiving' || state === 'silent';
}

/** Nothing to tell. */
export const NONE = '–';

function digits(value) {
  return value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}
