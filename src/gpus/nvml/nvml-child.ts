/**
 * Entry of the process that calls NVML: `node nvml-child.js <library>`, with an IPC channel to the service. It ends
 * when the channel closes.
 */
import { NvmlBinding } from './nvml-binding.js';
import type { NvmlReply } from './nvml-messages.js';
import { openNvml, sampleAll } from './nvml-session.js';
import { XidWatch } from './xid-watch.js';

function send(reply: NvmlReply): void {
  process.send?.(reply);
}

const nvml = openNvml(() => NvmlBinding.load(process.argv[2] ?? ''));
if ('reason' in nvml) {
  send({ type: 'failed', failure: nvml });
} else {
  const xids = new XidWatch(nvml);
  process.on('message', () => {
    send(sampleAll(nvml, xids));
  });
  // The wait for Xid errors would keep it.
  process.on('disconnect', () => process.exit());
  send({ type: 'ready' });
}
