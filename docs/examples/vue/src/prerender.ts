/** Renders the app into dist/index.html, so that the page shows before its scripts have run. */

import { readFileSync, writeFileSync } from 'node:fs';
import { createSSRApp } from 'vue';
import { renderToString } from 'vue/server-renderer';
import App from './app.vue';

const html = await renderToString(createSSRApp(App));
writeFileSync('dist/index.html', readFileSync('dist/index.html', 'utf8').replace('<!--app-->', html));
