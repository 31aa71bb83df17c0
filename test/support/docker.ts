import Docker from 'dockerode';

export const docker = new Docker();

/**
 * Whether the Engine answers. With REQUIRE_REAL=1 a missing one is a failure, never a skip.
 * @throws when it is required and not there
 */
export async function engineAnswers(): Promise<boolean> {
  try {
    await docker.ping();
    return true;
  } catch (error) {
    if (process.env.REQUIRE_REAL === '1') throw error;
    process.stderr.write('No Docker Engine answers: the tests against it are skipped.\n');
    return false;
  }
}

/** Containers of one instance of the service, running or dead. */
export async function containersOf(instanceName: string): Promise<Docker.ContainerInfo[]> {
  const label = `model-inference-client.owner=${instanceName}`;
  return docker.listContainers({ all: true, filters: { label: [label] } });
}

/** Removes what one instance of the service has launched, and nothing else. */
export async function removeContainersOf(instanceName: string): Promise<void> {
  for (const { Id } of await containersOf(instanceName)) {
    await docker.getContainer(Id).remove({ force: true });
  }
}
