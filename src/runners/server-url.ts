/** Where this service reaches a port of a server that listens on `bindAddress`. */
export function serverUrl(bindAddress: string, port: number): string {
  const isAnyAddress = bindAddress === '0.0.0.0' || bindAddress === '::';
  const address = isAnyAddress ? '127.0.0.1' : bindAddress;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
