/** Renders the app into dist/index.html, so that the page shows before its scripts have run. */

import { readFileSync, writeFileSync } from 'node:fs';
import { StrictMode } from 'react';
import { renderToString } from 'react-dom/server';
import { App } from './app';

const html = renderToString(
  <StrictMode>
    <App />
  </StrictMode>,
);
writeFileSync('dist/index.html', readFileSync('dist/index.html', 'utf8').replace('<!--app-->', html));
