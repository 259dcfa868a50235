// What a screen reader says by itself: not more often than it can be listened to.

import { byId, setText } from './dom.js';
import { count } from './words.js';

/** Between two announcements of events. */
const INTERVAL = 4000;

/** How many events of a kind are told together. */
const TOGETHER = {
  client_joined: (number) => `${count(number, 'machine')} joined`,
  client_complete: (number) => `${count(number, 'machine')} complete`,
  client_left: (number) => `${count(number, 'machine')} left without the image`,
  client_given_up: (number) => `${count(number, 'machine')} given up`,
  client_removed: (number) => `${count(number, 'machine')} removed`,
  client_evicted: (number) => `${count(number, 'machine')} evicted`,
  client_moved: (number) => `${count(number, 'machine')} changed over`,
};

let waiting = [];
let timer = null;

/** Announces an event in its turn. */
export function announceEvent(event) {
  if (!event.text) return;
  waiting.push(event);
  timer ??= setTimeout(flush, INTERVAL);
}

/** Says and shows at once what became of something that was done here. */
export function notify(text, failed = false) {
  const note = byId('note');
  setText(note, text);
  note.classList.toggle('failed', failed);
  note.classList.add('shown');
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => note.classList.remove('shown'), failed ? 12_000 : 6000);
}

function flush() {
  timer = null;
  const kinds = Map.groupBy(waiting, (event) => event.event);
  const texts = [...kinds].map(([kind, events]) => {
    const together = TOGETHER[kind];
    return together && events.length > 1 ? together(events.length) : events.at(-1).text;
  });
  waiting = [];
  setText(byId('spoken'), texts.slice(-4).join('. '));
}
