import { messageOf } from '../../common/errors.js';
import { within } from '../../common/deadline.js';
import type { Launcher, LaunchSpec } from '../../launchers/launcher.js';
import { runToEnd } from '../../launchers/run-to-end.js';
import { flagsOfHelp, type InstalledFlags } from '../argparse-help.js';

/** Longest time that ComfyUI may take to print its flags. */
const ASK_MS = 30_000;
/** Of a start, which has other checks to do within its time; the answer is there for the next one. */
const PATIENCE_MS = 3000;

/** What an installation of ComfyUI is known to take. */
export type Answer =
  | { readonly flags: InstalledFlags }
  /** Why it has not said. */
  | { readonly unknown: string };

/** Asks an installed ComfyUI for its flags (`--help`), once while its answer suits. */
export class ComfyuiInstallation {
  private known: InstalledFlags | undefined;
  private underWay: Promise<Answer> | undefined;

  constructor(
    private readonly launcher: () => Launcher,
    private readonly question: () => LaunchSpec,
  ) {}

  /**
   * Its flags. What is remembered is asked anew where it does not suit: the installation may have been replaced.
   * @throws the signal's reason
   */
  async flags(suits: (flags: InstalledFlags) => boolean, signal: AbortSignal): Promise<Answer> {
    if (this.known && suits(this.known)) return { flags: this.known };
    try {
      return await within({ ms: PATIENCE_MS, signal }, () => this.ask());
    } catch (error) {
      signal.throwIfAborted();
      return { unknown: messageOf(error) };
    }
  }

  /** One question at a time, however many starts wait for it; it outlives them. */
  private ask(): Promise<Answer> {
    this.underWay ??= within({ ms: ASK_MS }, (limit) => this.answer(limit))
      .catch((error: unknown) => ({ unknown: messageOf(error) }))
      .finally(() => {
        this.underWay = undefined;
      });
    return this.underWay;
  }

  private async answer(limit: AbortSignal): Promise<Answer> {
    const { exitCode, lines } = await runToEnd(this.launcher(), this.question(), limit);
    const flags = flagsOfHelp(lines);
    if (exitCode !== 0) return { unknown: `--help ended with exit code ${String(exitCode)}` };
    if (!flags.has('--listen') || !flags.has('--port'))
      return { unknown: '--help names no flags of ComfyUI' };
    this.known = flags;
    return { flags };
  }
}
