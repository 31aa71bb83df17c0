import { LaunchFailedError } from './launcher.js';

const SERVER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Whether `name` is one that a server can have; nothing else may reach a path or an engine. */
export function isServerName(name: string): boolean {
  return name.length <= 200 && SERVER_NAME.test(name);
}

/** Whether `labels` holds every label of `wanted`. */
export function carries(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** Whether both are the same set of labels. */
export function sameLabels(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): boolean {
  return Object.keys(a).length === Object.keys(b).length && carries(a, b);
}

/** @throws LaunchFailedError when `name` is none that a server can have */
export function requireServerName(name: string): void {
  if (isServerName(name)) return;
  throw new LaunchFailedError(
    `${JSON.stringify(name)} is no name for a server: letters, digits, "_", "." and "-" only, two at least`,
    { name },
  );
}
