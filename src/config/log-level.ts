/** Whether LOG_LEVEL asks for debugging details. Read without the other settings: the failure may concern one of them. */
export const isDebugLevel = (): boolean => /^\s*(debug|trace)\s*$/.test(process.env['LOG_LEVEL'] ?? '');
