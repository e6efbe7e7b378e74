import { element } from './dom.ts';

/** Asks in a dialog, whose first button says `verb`; true if it was pressed. */
export function confirmed(question: string, verb: string): Promise<boolean> {
  const dialog = element('confirm', HTMLDialogElement);
  element('confirm-text', HTMLElement).textContent = question;
  element('confirm-yes', HTMLButtonElement).textContent = `${verb} it`;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
