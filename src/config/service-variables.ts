/** Recognizes the variables that Kubernetes and Docker add to a container's environment for Services. */

/**
 * Whether a variable is one of those. For a Service named `webdist`, they are `WEBDIST_SERVICE_HOST`,
 * `WEBDIST_SERVICE_PORT`, `WEBDIST_SERVICE_PORT_HTTP`, `WEBDIST_PORT=tcp://10.0.0.1:80`, `WEBDIST_PORT_80_TCP_ADDR` and
 * so on (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables). Docker's links add
 * `WEBDIST_NAME=/shop/webdist` and `WEBDIST_ENV_PATH` (https://docs.docker.com/engine/network/links/).
 */
export function isServiceVariable(name: string, value: string): boolean {
  if (/_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name))
    return true;
  if (/_ENV_[A-Za-z_]\w*$/.test(name)) return true;
  if (name.endsWith('_NAME')) return /^\/[\w.-]+\/[\w.-]+$/.test(value);
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value);
}
