/** A program or library in Python that is not there, or not whole. A library that was not to be loaded may be next time. */
export function isFailedImport(exception: string): boolean {
  return (
    /^(?:ModuleNotFound|Import)Error\b/.test(exception) &&
    !/memory|libcuda\.so|input\/output|too many open/i.test(exception)
  );
}
