import { afterAll } from '@jest/globals';
import { endServiceHosts } from './service-process.js';

afterAll(endServiceHosts);
