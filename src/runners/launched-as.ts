import { canonicalJson, isRecord } from '../common/canonical-json.js';
import type { ServerInfo } from '../launchers/launcher.js';

/** What those who talk to a server go by, under its keys in the configuration. */
export type LaunchSettings = Readonly<Record<string, string>>;

const LABEL = 'model-inference-client.launched-as';

export function settingsLabel(settings: LaunchSettings): Record<string, string> {
  return { [LABEL]: canonicalJson(settings) };
}

/**
 * The settings that a server was launched with: it keeps to them, whatever the configuration says by now.
 * @param configured what counts where its labels do not tell: an earlier version launched it
 */
export function launchedAs<Settings extends LaunchSettings>(
  labels: ServerInfo['labels'],
  configured: Settings,
): Settings {
  return { ...configured, ...settingsIn(labels[LABEL]) };
}

function settingsIn(text: string | undefined): LaunchSettings {
  try {
    const value: unknown = JSON.parse(text ?? '');
    const entries = isRecord(value) ? Object.entries(value) : [];
    return Object.fromEntries(
      entries.flatMap(([key, each]) => (typeof each === 'string' ? [[key, each]] : [])),
    );
  } catch {
    return {}; // not written by us as it stands
  }
}
