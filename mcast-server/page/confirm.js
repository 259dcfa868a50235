// Asks before something is done: what, and to whom.

import { byId, keep, el, setText, show } from './dom.js';

/**
 * Asks; `true` if it is confirmed. `names` are those whom it concerns, `danger` if it cannot be undone. The focus
 * lies on what does no harm.
 */
export function confirm({ title, text, names = [], verb, danger = false }) {
  const dialog = byId('confirm');
  const [yes, no] = [byId('confirm-yes'), byId('confirm-no')];
  setText(byId('confirm-title'), title);
  setText(byId('confirm-text'), text);
  keep(byId('confirm-names'), names, (name) => name, (name) => el('li', {}, name));
  show(byId('confirm-names'), names.length > 0);
  setText(yes, verb);
  yes.classList.toggle('danger', danger);
  dialog.returnValue = '';
  dialog.showModal();
  (danger ? no : yes).focus();
  return new Promise((resolve) => {
    yes.onclick = () => dialog.close('yes');
    no.onclick = () => dialog.close('');
    // A click beside it is a click on the dialog itself, around its content.
    dialog.onclick = (event) => event.target === dialog && dialog.close('');
    dialog.onclose = () => resolve(dialog.returnValue === 'yes');
  });
}
