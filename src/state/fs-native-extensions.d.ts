/** The one function in use; the package brings no types. */
declare module 'fs-native-extensions' {
  /** Takes the whole file for this open descriptor; false when another one has it. @throws on an I/O error */
  export function tryLock(fd: number): boolean;
}
