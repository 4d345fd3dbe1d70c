/**
 * The values that differ between the two ways in which a page gets the button. webdist fills in its own setting. The
 * npm package has no address (`undefined`) and sends no reports by default (src/browser/package/modules.ts).
 */

/** The address the module was loaded from, which is where the service is. */
export const servedFrom = import.meta.url;

/** Share of visits that send reports, 0 to 1. Not a number: none. */
export const servedShare = 'WEBDIST_BUTTON_ERRORS';
