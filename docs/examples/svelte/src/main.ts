import { hydrate } from 'svelte';
import App from './app.svelte';

const target = document.querySelector('#root');
if (target) hydrate(App, { target });
