import { z } from 'zod';
import { safeName } from './common.js';

export const comfyuiSection = z.strictObject({
  enabled: z.boolean().describe('Offer this backend.'),
  supported_models: z.array(safeName).describe('The models of this backend.'),
});

export type ComfyuiConfig = z.infer<typeof comfyuiSection>;
