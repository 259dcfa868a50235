// Elements, made and kept up to date. Data gets in as text alone: names come from clients.

/** Makes an element: `el('a.link', {href: '#/'}, 'text', child)`; properties with `on` are listeners. */
export function el(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element of this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Sets a text if it is another one: what has not changed is not laid out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute if it is another one; null removes it. */
export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

/** Shows or hides an element. */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Has `parent` hold one element for each item, in this order; `make` makes one, `update` fills it. What is there
 * already stays, so that focus and selection stay, too.
 */
export function keep(parent, items, key, make, update) {
  const kept = (parent.kept ??= new Map());
  const wanted = new Set(items.map(key));
  for (const [name, element] of kept) {
    if (!wanted.has(name)) {
      element.remove();
      kept.delete(name);
    }
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = kept.get(name);
    if (!element) {
      element = make(item);
      kept.set(name, element);
    }
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
    update?.(element, item);
  }
}

/** A table row of `cells`: `[class, text]` or an element each; the first one is the row's heading. */
export function row(cells) {
  return el(
    'tr',
    {},
    ...cells.map((cell, at) => {
      if (cell instanceof Element) return cell;
      const [kind, text] = cell;
      const made = at === 0 ? el('th', { scope: 'row' }) : el('td');
      if (kind) made.className = kind;
      made.textContent = text;
      return made;
    }),
  );
}

/** A bar that shows a share of 1, and its text. */
export function bar() {
  const fill = el('span.fill');
  const track = el('span.track', { 'aria-hidden': 'true' }, fill);
  const text = el('span.figure');
  const whole = el('span.bar', {}, track, text);
  whole.set = (share, words, complete = share >= 1) => {
    fill.style.transform = `scaleX(${Math.min(1, Math.max(0, share)).toFixed(4)})`;
    fill.classList.toggle('whole', complete);
    setText(text, words);
  };
  return whole;
}

/** A state in a word, with a mark whose shape tells it without colour. */
export function badge() {
  const mark = el('span.mark', { 'aria-hidden': 'true' });
  const text = el('span');
  const whole = el('span.badge', {}, mark, text);
  whole.set = (kind, words) => {
    setAttribute(whole, 'data-kind', kind);
    setText(text, words);
  };
  return whole;
}
