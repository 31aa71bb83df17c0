/** A program or library in Python that is not there, or not whole. A library that found no memory may find it next time. */
export function isFailedImport(exception: string): boolean {
  return /^(?:ModuleNotFound|Import)Error\b/.test(exception) && !/memory/i.test(exception);
}
