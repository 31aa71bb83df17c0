/** What of a launch the configuration can change while the server runs. */
export const ASPECTS = ['gpus', 'image', 'env', 'args', 'limits'] as const;
export type Aspect = (typeof ASPECTS)[number];
