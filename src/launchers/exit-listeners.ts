import { Logger } from '@nestjs/common';
import { messageOf } from '../common/errors.js';
import type { ServerExit } from './launcher.js';

/** Exits that are remembered: whoever lost a server asks at once, while others may launch it anew. */
const EXITS_KEPT = 64;

/** Who wants to know of exits. A listener that throws harms neither the others nor the launcher. */
export class ExitListeners {
  private readonly logger = new Logger('Launcher');
  private readonly listeners = new Set<(exit: ServerExit) => void>();

  private exits: readonly ServerExit[] = [];

  /** How a run of a server ended, if that was a short while ago. */
  exitOf(id: string): ServerExit | undefined {
    return this.exits.find((exit) => exit.id === id);
  }

  add(listener: (exit: ServerExit) => void): () => void {
    // A function of its own, so that the same listener added twice is two subscriptions.
    const entry = (exit: ServerExit): void => {
      listener(exit);
    };
    this.listeners.add(entry);
    return () => {
      this.listeners.delete(entry);
    };
  }

  emit(exit: ServerExit): void {
    this.exits = [exit, ...this.exits].slice(0, EXITS_KEPT);
    for (const listener of [...this.listeners]) {
      try {
        listener(exit);
      } catch (error) {
        this.logger.error(`A listener for the exit of ${exit.name} failed: ${messageOf(error)}`);
      }
    }
  }

  get size(): number {
    return this.listeners.size;
  }

  clear(): void {
    this.listeners.clear();
  }
}
