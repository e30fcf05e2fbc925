/** Platforms as Docker writes them, "linux/amd64" or "linux/arm/v7", and what runs on what. */

/** Architectures that a processor of the other one runs as its own. */
const alsoRuns: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] };

/** The platform of a config or of an inspected image. */
export function platformText(os: string, architecture: string, variant = ''): string {
  return variant === '' ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/**
 * Whether a machine runs an image. Variants are left to the engine: machines do not tell theirs.
 * Engines load images of any platform and containers fail only when they start, so it is asked first.
 */
export function runsOn(image: string, machine: string): boolean {
  const [imageOs, imageArchitecture = ''] = image.split('/');
  const [machineOs, machineArchitecture = ''] = machine.split('/');
  if (imageOs !== machineOs) return false;
  if (imageArchitecture === machineArchitecture) return true;
  return alsoRuns[machineArchitecture]?.includes(imageArchitecture) ?? false;
}
