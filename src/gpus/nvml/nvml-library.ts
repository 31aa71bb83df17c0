import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi';
import { NvmlCode } from './nvml.js';

/** Almost every NVML function returns `nvmlReturn_t`. */
type NvmlFunction = KoffiFunc<(...args: readonly unknown[]) => number>;
export type FunctionTypes = Parameters<LibraryHandle['func']>[3];

/** The loaded library, and the functions of it that have been used. */
export class NvmlLibrary {
  private readonly functions = new Map<string, NvmlFunction | undefined>();

  private constructor(private readonly handle: LibraryHandle) {}

  /** @throws Error with the dynamic linker's words if `path` cannot be loaded, or is not NVML. */
  static load(path: string): NvmlLibrary {
    const library = new NvmlLibrary(koffi.load(path));
    if (!library.find('nvmlInit_v2', [])) throw new Error(`${path} has no nvmlInit_v2: it is not NVML`);
    return library;
  }

  /** A function that this driver's library lacks answers as NVML itself does for one it does not implement. */
  call(name: string, types: FunctionTypes, ...args: readonly unknown[]): number {
    return this.find(name, types)?.(...args) ?? NvmlCode.FUNCTION_NOT_FOUND;
  }

  /** The same in a thread of its own: nothing else waits for it. */
  async callAside(name: string, types: FunctionTypes, ...args: readonly unknown[]): Promise<number> {
    const found = this.find(name, types);
    if (!found) return NvmlCode.FUNCTION_NOT_FOUND;
    return new Promise((resolve, reject) => {
      found.async(...args, (error: Error | null, code: number) => {
        if (error) reject(error);
        else resolve(code);
      });
    });
  }

  errorString(code: number): string {
    const text: unknown = this.handle.func('nvmlErrorString', 'str', ['int'])(code);
    return typeof text === 'string' && text !== '' ? text : `error ${code}`;
  }

  private find(name: string, types: FunctionTypes): NvmlFunction | undefined {
    if (!this.functions.has(name)) this.functions.set(name, this.bind(name, types));
    return this.functions.get(name);
  }

  private bind(name: string, types: FunctionTypes): NvmlFunction | undefined {
    try {
      return this.handle.func(name, 'int', types);
    } catch {
      return undefined;
    }
  }
}
