import { nearest } from '../../src/common/nearest.js';

describe('the word that may be meant', () => {
  it.each([
    ['prot', ['host', 'port'], 'port'],
    ['HTTP_PORT', ['grpc_port', 'http_port'], 'http_port'],
    ['Http-Prot', ['grpc_port', 'http_port'], 'http_port'],
    ['mam', ['MAM', 'FastFitAll'], 'MAM'],
    ['colour', ['host', 'port'], undefined],
  ])('%s of %j is %s', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected);
  });
});
