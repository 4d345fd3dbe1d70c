/**
 * What differs between the two ways the button reaches a page: from webdist, which fills in its setting, and from the
 * npm package, which has `undefined` for the address and reports nothing by itself (src/browser/package/modules.ts).
 */

/** The address the module was loaded from, which is where the service is. */
export const servedFrom = import.meta.url;

/** Share of visits that send reports, 0 to 1. Not a number: none. */
export const servedShare = 'WEBDIST_BUTTON_ERRORS';
