import { pollFailureIn } from '../../../src/runners/triton/poll-failure.js';

/** As Triton's own binary (2.58) has written them. */
const GROUP = `E1126 12:15:18.638305 1 model_repository_manager.cc:1460] "Poll failed for model directory 'ens': instance group should not be specified for ensemble 'ens'"`;
const PARSER =
  '[libprotobuf ERROR /tmp/tritonbuild/src/google/protobuf/text_format.cc:337] Error parsing text-format inference.ModelConfig: 5:15: Message type "inference.ModelConfig" has no field named "instance_grup".';
const TYPO = `E1126 12:15:25.264493 1 model_repository_manager.cc:1460] "Poll failed for model directory 'typo': failed to read text proto from /models/typo/config.pbtxt"`;
const NOWHERE = `E1126 12:15:25.407534 1 model_repository_manager.cc:1415] "failed to poll model 'nowhere': model not found in any model repository."`;
const LOADED = `I1126 12:15:25.213240 1 model_lifecycle.cc:839] "successfully loaded 'ens'"`;
const OTHERS = `E1126 12:15:20.848510 1 model_repository_manager.cc:703] "Invalid argument: ensemble ens contains models that are not available or ambiguous: typo"`;

describe('why Triton could not poll a model', () => {
  it('is what its log says of that model', () => {
    expect(pollFailureIn([LOADED, GROUP, OTHERS], 'ens')?.words).toBe(
      "Poll failed for model directory 'ens': instance group should not be specified for ensemble 'ens'",
    );
    expect(pollFailureIn([NOWHERE], 'nowhere')?.words).toBe(
      "failed to poll model 'nowhere': model not found in any model repository.",
    );
  });

  it('has the place in the file, which stands in the line before', () => {
    expect(pollFailureIn([GROUP, PARSER, TYPO, LOADED], 'typo')?.words).toBe(
      'Poll failed for model directory \'typo\': failed to read text proto from /models/typo/config.pbtxt: Error parsing text-format inference.ModelConfig: 5:15: Message type "inference.ModelConfig" has no field named "instance_grup".',
    );
    // What stands before a line on something else is the cause of something else.
    expect(pollFailureIn([PARSER, GROUP], 'ens')?.words).not.toContain('Error parsing');
  });

  it.each([
    ['another model', [TYPO, PARSER, NOWHERE], 'ens'],
    ['a model whose name is longer', [GROUP.replaceAll("'ens'", "'ensemble'")], 'ens'],
    ['a model whose name is shorter', [GROUP], 'ensemble'],
    ['a line that only mentions the model', [OTHERS, LOADED], 'ens'],
    ['nothing', [], 'ens'],
  ])('is no line on %s', (_what, log, model) => {
    expect(pollFailureIn(log, model)).toBeUndefined();
  });

  it('is the last of several', () => {
    const later = GROUP.replace('18.638305', '19.000001').replace('instance group', 'something else');
    expect(pollFailureIn([GROUP, LOADED, later, TYPO], 'ens')).toEqual({
      line: later,
      words: expect.stringContaining('something else') as string,
    });
  });

  it('is read where quotes are escaped, where they are not, and where there are none', () => {
    const text = `Poll failed for model directory 'A': got \\"many\\"`;
    expect(pollFailureIn([`E1126 1 x.cc:1] "${text}"`], 'A')?.words).toBe(
      `Poll failed for model directory 'A': got "many"`,
    );
    expect(
      pollFailureIn([`E1126 1 x.cc:1] "Poll failed for model directory 'A': got "many""`], 'A')?.words,
    ).toBe(`Poll failed for model directory 'A': got "many"`);
    expect(pollFailureIn([`E1126 1 x.cc:1] Poll failed for model directory 'A': got many`], 'A')?.words).toBe(
      `Poll failed for model directory 'A': got many`,
    );
  });
});
