import vue from '@vitejs/plugin-vue';

const isCustomElement = (tag) => tag === 'install-button';

export default { plugins: [vue({ template: { compilerOptions: { isCustomElement } } })] };
