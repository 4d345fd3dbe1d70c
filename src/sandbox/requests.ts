/** The log of requests the simulated App Store Connect received, in memory. */

/** `path` is without the query. `status` is 0 when the connection was dropped without an answer. */
export type LoggedRequest = { readonly method: string; readonly path: string; readonly status: number };

/** Older ones are forgotten. */
const MAX_REQUESTS = 100_000;

/** An empty log. */
export function openRequestLog() {
  let entries: { method: string; path: string; status: number | undefined }[] = [];
  return {
    /** Notes that a request arrived; what it gives notes the outcome. */
    begin(method: string, path: string): (status: number) => void {
      const entry: (typeof entries)[number] = { method, path, status: undefined };
      entries.push(entry);
      if (entries.length > MAX_REQUESTS) entries.shift();
      return (status) => {
        entry.status = status;
      };
    },
    /** The requests that have an outcome, in order of arrival. */
    list: (): LoggedRequest[] =>
      entries.flatMap(({ method, path, status }) => (status === undefined ? [] : [{ method, path, status }])),
    clear() {
      entries = [];
    },
  };
}
