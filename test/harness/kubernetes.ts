/** The Kubernetes objects in `deploy`: how they are rendered, read and checked. */

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { temporaryFolder } from './folder.ts';

export const BASE = 'deploy/base';
export const CHART = 'deploy/helm/webdist';
/** The oldest version that a cluster is likely to run, one between, and the newest. */
export const VERSIONS = ['1.31', '1.34', '1.37'];

const has = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;

export const noKustomize = !has('kubectl', 'kustomize', '-h') && 'kubectl is not here';
export const noHelm = !has('helm', 'version') && 'helm is not here (CONTRIBUTING.md, Set up)';
export const noSchemas = !has('kubernetes-validate', '--version') && 'kubernetes-validate (PyPI) is not here';

export type Resource = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  data?: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: a dozen kinds of resource
  spec: any;
};

/** The base as `kubectl apply -k` sends it. */
export const renderedBase = () => execFileSync('kubectl', ['kustomize', BASE], { encoding: 'utf8' });

/** The chart as a release named webdist in the namespace webdist, with these values over its own. */
export const renderedChart = (values: object = {}) =>
  execFileSync('helm', ['template', 'webdist', CHART, '--namespace', 'webdist', '--values', '-'], {
    encoding: 'utf8',
    input: JSON.stringify(values),
  });

/** Every document of a stream of YAML that is not empty, read as Kubernetes reads it: 0440 is octal. */
export const resourcesIn = (text: string) =>
  parseAllDocuments(text, { version: '1.1' }).flatMap((document) => (document.toJS() as Resource | null) ?? []);

export function named(kind: string, all: readonly Resource[]): Resource {
  const found = all.find((one) => one.kind === kind);
  if (!found) throw new Error(`There is no ${kind}.`);
  return found;
}

/** Checks resources strictly against Kubernetes' schemas of one version. Returns what is wrong, or ''. */
export function problemsOf(t: Test, version: string, resources: readonly Resource[]): string {
  const path = join(temporaryFolder(t), 'all.yaml');
  writeFileSync(path, resources.map((one) => JSON.stringify(one)).join('\n---\n'));
  const { status, stdout, stderr } = spawnSync('kubernetes-validate', ['--strict', '-k', version, path], {
    encoding: 'utf8',
  });
  const passed = (stdout + stderr).match(/ passed for resource /g)?.length;
  return status === 0 && passed === resources.length ? '' : stdout + stderr;
}

/** Kubernetes has no schema for a custom resource. */
export const isBuiltIn = ({ apiVersion }: Resource) => !/^(external-secrets\.io|secrets-store\.)/.test(apiVersion);
