/** The formats that `webdist init` writes: for the command line, which is loaded before the work. */

export const FORMAT_NAMES = ['env', 'compose', 'kubernetes', 'systemd'] as const;

export type FormatName = (typeof FORMAT_NAMES)[number];
