/** Renders the app into dist/index.html, so that the page shows before its scripts have run. */

import { readFileSync, writeFileSync } from 'node:fs';
import { render } from 'svelte/server';
import App from './app.svelte';

const { head, body } = await render(App);
const page = readFileSync('dist/index.html', 'utf8');
writeFileSync('dist/index.html', page.replace('<!--app-->', body).replace('</head>', `${head}</head>`));
