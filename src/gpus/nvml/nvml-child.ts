/**
 * Entry of the process that calls NVML: `node nvml-child.js <library>`, with an IPC channel to the service. It ends
 * when the channel closes.
 */
import { NvmlBinding } from './nvml-binding.js';
import type { NvmlReply } from './nvml-messages.js';
import { openNvml, sampleAll } from './nvml-session.js';

function send(reply: NvmlReply): void {
  process.send?.(reply);
}

const nvml = openNvml(() => NvmlBinding.load(process.argv[2] ?? ''));
if ('reason' in nvml) {
  send({ type: 'failed', failure: nvml });
} else {
  process.on('message', () => {
    send(sampleAll(nvml));
  });
  send({ type: 'ready' });
}
