import type { Request } from 'express';

/** Of a layer of Express's router, what tells the methods of a path; one without a route is middleware. */
interface Layer {
  readonly route?: { readonly methods: Readonly<Record<string, boolean>> };
  match(path: string): boolean;
}

/** The methods of the routes that the request's path leads to, for `Allow`; none where there is no such path. */
export function allowedMethods({
  app,
  path,
}: Pick<Request, 'path'> & Partial<Pick<Request, 'app'>>): string[] {
  const layers = (app?.router.stack ?? []) as unknown as readonly Layer[];
  const methods = layers
    .filter(({ route }) => route !== undefined)
    .filter((layer) => layer.match(path))
    .flatMap(({ route }) => Object.keys(route?.methods ?? {}))
    // Express answers HEAD with the route of GET.
    .flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
  return [...new Set(methods)];
}
