export default defineNuxtConfig({
  compatibilityDate: '2026-11-01',
  telemetry: false,
  devtools: { enabled: false },
  // From NUXT_WEBDIST_URL and NUXT_WEBDIST_API_KEY; only the server sees them.
  runtimeConfig: { webdistUrl: '', webdistApiKey: '' },
  vue: { compilerOptions: { isCustomElement: (tag) => tag === 'install-button' } },
  app: { head: { title: 'Trail Map', htmlAttrs: { lang: 'en' }, link: [{ rel: 'icon', href: 'data:,' }] } },
});
