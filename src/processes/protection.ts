import { basename } from 'node:path';
import type { ProcessFacts } from '../host/process-facts.js';

/** Where this service itself stands in the process table. */
export interface OwnPlace {
  readonly pid: number;
  readonly ancestors: readonly number[];
}

/** Why a process may not be ended; `absent` when there is nothing to end. */
export interface Refusal {
  readonly kind: 'absent' | 'forbidden';
  readonly reason: string;
}

const INIT = 1;
const ROOT = 0;

/** The daemon, containerd with its shims, the port forwarders, and what keeps a rootless daemon alive. */
const CONTAINER_ENGINE = /^(dockerd|(docker-)?containerd(-shim(-[\w-]+)?)?|docker-proxy|rootlesskit)$/;

/**
 * Goes by the program file, whoever runs it: a rootless daemon is any user's. Its name alone, which a process can
 * choose, counts where the file is not known or root runs it (a wrapped or emulated daemon).
 */
function isContainerEngine({ executable, name, command, userId }: ProcessFacts): boolean {
  if (executable !== null && CONTAINER_ENGINE.test(basename(executable))) return true;
  if (executable !== null && userId !== ROOT) return false;
  return [name, basename(command[0] ?? '')].some((each) => CONTAINER_ENGINE.test(each));
}

/** Whether `facts` is a process that is never ended, whatever the scope; `undefined` when nothing speaks against it. */
export function refusalOf(facts: ProcessFacts, self: OwnPlace): Refusal | undefined {
  const { pid } = facts;
  if (!facts.alive) return { kind: 'absent', reason: `Process ${pid} has already ended.` };
  if (facts.threadGroupId !== pid) {
    // A signal to a thread's id reaches its whole process.
    return {
      kind: 'absent',
      reason: `${pid} is no process, but a thread of process ${facts.threadGroupId}.`,
    };
  }
  const forbidden = (what: string): Refusal => ({
    kind: 'forbidden',
    reason: `Process ${pid} is ${what}, which this service never ends.`,
  });
  if (pid === INIT) return forbidden('the first process of this system');
  if (facts.isKernelThread) return forbidden('a thread of the kernel');
  if (pid === self.pid) return forbidden('this service itself');
  if (self.ancestors.includes(pid)) return forbidden('an ancestor of this service');
  if (isContainerEngine(facts)) return forbidden(`part of the container engine (${facts.name})`);
  return undefined;
}
