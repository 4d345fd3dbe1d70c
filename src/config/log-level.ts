/**
 * Whether LOG_LEVEL requests debugging details. It is read without the other settings, because they may have caused the
 * failure.
 */
export const isDebugLevel = (): boolean => /^\s*(debug|trace)\s*$/.test(process.env['LOG_LEVEL'] ?? '');
