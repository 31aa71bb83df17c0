import type { ProcessRow } from './process-identity.js';

/** What the operating system says about a process. Names are its own choice; the rest is the kernel's word. */
export interface ProcessFacts extends ProcessRow {
  /** The process that this pid belongs to; another number where it is the id of a mere thread. */
  readonly threadGroupId: number;
  /** Short name, which the process can change. On Linux cut off after 15 characters. */
  readonly name: string;
  /** Effective user id. */
  readonly userId: number;
  /** Path of the program; `null` where the system doesn't tell. */
  readonly executable: string | null;
  /** The command line, which the process can change; empty for a kernel thread. */
  readonly command: readonly string[];
}
