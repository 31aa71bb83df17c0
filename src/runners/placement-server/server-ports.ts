/** Name of the port that every server has: what the API shows as `port`, and `{port}` is. */
export const MAIN_PORT = 'http';

/** TCP ports of one server by name, the main one first. */
export type ServerPorts = ReadonlyMap<string, number>;

/** The main port alone, and one for each of `names`, out of as many numbers. */
export function portsByName(names: readonly string[], [main = 0, ...others]: readonly number[]): ServerPorts {
  return new Map([[MAIN_PORT, main], ...names.map((name, index) => [name, others[index] ?? 0] as const)]);
}

/** The names without that of the main port. */
export function addedNames(ports: ServerPorts): string[] {
  return [...ports.keys()].filter((name) => name !== MAIN_PORT);
}
