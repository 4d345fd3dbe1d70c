/** A log, in memory, of the requests that the simulated App Store Connect received. */

/** `path` excludes the query. `status` is 0 if the connection was dropped without an answer. */
export type LoggedRequest = { readonly method: string; readonly path: string; readonly status: number };

/** Older requests are discarded. */
const MAX_REQUESTS = 100_000;

/** An empty log. */
export function openRequestLog() {
  let entries: { method: string; path: string; status: number | undefined }[] = [];
  return {
    /** Records that a request arrived; returns the function that records its status. */
    begin(method: string, path: string): (status: number) => void {
      const entry: (typeof entries)[number] = { method, path, status: undefined };
      entries.push(entry);
      if (entries.length > MAX_REQUESTS) entries.shift();
      return (status) => {
        entry.status = status;
      };
    },
    /** The requests that have been answered or dropped, oldest first. */
    list: (): LoggedRequest[] =>
      entries.flatMap(({ method, path, status }) => (status === undefined ? [] : [{ method, path, status }])),
    clear() {
      entries = [];
    },
  };
}
