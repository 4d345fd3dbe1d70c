/** The button's texts in English. Each can be replaced by an attribute `text-<name>`. */

export const english = {
  install: 'Install',
  loading: 'Getting ready…',
  tapped: 'Confirm on your device. Nothing happened? Tap again.',
  error: 'Installing is not possible right now.',
  offline: 'You are offline.',
  limited: 'Too many attempts. Please wait a moment.',
  retry: 'Try again',
  elsewhere: 'Open this page on your iPhone or iPad.',
  outdated: 'This needs iOS 17.5 or iPadOS 18, or later.',
  'in-app': 'Open this page in Safari.',
  region: 'This app can be installed only in the European Union.',
};

export type Texts = typeof english;
