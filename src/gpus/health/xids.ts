/**
 * The Xid errors that tell of the GPU, and not of a program on it, after NVIDIA's catalogue: what NVIDIA says to drain, reset or
 * replace the GPU for. All others (13, 31, 43, 45, 68 …) are an application's, or only tell what was done; 63 (a row is
 * remapped) counts where the readings show that this failed or waits.
 */
const BAD_XIDS: Readonly<Record<number, string>> = {
  46: 'the GPU stopped processing',
  48: 'double-bit memory error',
  54: 'auxiliary power is not connected',
  61: 'internal microcontroller breakpoint',
  62: 'internal microcontroller halt',
  64: 'a page or row of memory could not be retired',
  74: 'NVLink error',
  79: 'the GPU has fallen off the bus',
  92: 'high rate of single-bit memory errors',
  94: 'contained memory error',
  95: 'uncontained memory error',
  119: 'the GPU system processor does not answer',
  120: 'error of the GPU system processor',
  140: 'unrecovered memory error',
  143: 'the GPU could not be initialised',
};

/** `Xid 79 (the GPU has fallen off the bus)`; `undefined`: it says nothing against the GPU. */
export function badXid(xid: number): string | undefined {
  const words = BAD_XIDS[xid];
  return words === undefined ? undefined : `Xid ${xid} (${words})`;
}
