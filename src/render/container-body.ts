/**
 * The body of the engine's `POST /containers/create`, as far as this project fills it. The types of
 * dockerode lag behind the engine (no `CreateMountpoint`, no `CgroupnsMode`) and are `any` in many
 * places, so the shape is written down here and handed over in one place (agent/engine.ts).
 */

export interface ContainerBody {
  readonly name: string;
  readonly platform?: string;
  readonly Image: string;
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Env?: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly Hostname?: string;
  readonly Domainname?: string;
  readonly MacAddress?: string;
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Tty?: boolean;
  readonly OpenStdin?: boolean;
  readonly StopSignal?: string;
  readonly StopTimeout?: number;
  readonly Healthcheck?: HealthcheckBody;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly HostConfig: HostBody;
  readonly NetworkingConfig?: {
    readonly EndpointsConfig: Readonly<Record<string, EndpointBody>>;
  };
}

export interface HealthcheckBody {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly Retries?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
}

export interface EndpointBody {
  readonly MacAddress?: string;
}

export interface PortBindingBody {
  readonly HostIp?: string;
  readonly HostPort?: string;
}

export interface HostBody extends ResourcesBody {
  readonly NetworkMode: string;
  readonly RestartPolicy: { readonly Name: 'no' };
  readonly PortBindings?: Readonly<Record<string, readonly PortBindingBody[]>>;
  readonly Binds?: readonly string[];
  readonly Mounts?: readonly MountBody[];
  readonly Tmpfs?: Readonly<Record<string, string>>;
  readonly VolumesFrom?: readonly string[];
  readonly CapAdd?: readonly string[];
  readonly CapDrop?: readonly string[];
  readonly Privileged?: boolean;
  readonly ReadonlyRootfs?: boolean;
  readonly Sysctls?: Readonly<Record<string, string>>;
  readonly ExtraHosts?: readonly string[];
  readonly LogConfig: { readonly Type: string; readonly Config: Readonly<Record<string, string>> };
  readonly Init?: boolean;
  readonly SecurityOpt?: readonly string[];
  readonly GroupAdd?: readonly string[];
  readonly IpcMode?: string;
  readonly PidMode?: string;
  readonly UTSMode?: string;
  readonly UsernsMode?: string;
  readonly CgroupnsMode?: string;
  readonly ShmSize?: number;
  readonly StorageOpt?: Readonly<Record<string, string>>;
  readonly Runtime?: string;
  readonly Isolation?: string;
  readonly Annotations?: Readonly<Record<string, string>>;
}

export interface ResourcesBody {
  readonly Memory?: number;
  readonly MemoryReservation?: number;
  readonly MemorySwap?: number;
  readonly MemorySwappiness?: number;
  readonly NanoCpus?: number;
  readonly CpuCount?: number;
  readonly CpuPercent?: number;
  readonly CpuShares?: number;
  readonly CpuPeriod?: number;
  readonly CpuQuota?: number;
  readonly CpuRealtimePeriod?: number;
  readonly CpuRealtimeRuntime?: number;
  readonly CpusetCpus?: string;
  readonly PidsLimit?: number;
  readonly OomKillDisable?: boolean;
  readonly OomScoreAdj?: number;
  readonly CgroupParent?: string;
  readonly Ulimits?: readonly {
    readonly Name: string;
    readonly Soft: number;
    readonly Hard: number;
  }[];
  readonly Devices?: readonly {
    readonly PathOnHost: string;
    readonly PathInContainer: string;
    readonly CgroupPermissions: string;
  }[];
  readonly DeviceCgroupRules?: readonly string[];
  readonly DeviceRequests?: readonly DeviceRequestBody[];
  readonly BlkioWeight?: number;
  readonly BlkioWeightDevice?: readonly { readonly Path: string; readonly Weight: number }[];
  readonly BlkioDeviceReadBps?: readonly RateBody[];
  readonly BlkioDeviceWriteBps?: readonly RateBody[];
  readonly BlkioDeviceReadIOps?: readonly RateBody[];
  readonly BlkioDeviceWriteIOps?: readonly RateBody[];
}

export interface RateBody {
  readonly Path: string;
  readonly Rate: number;
}

export interface DeviceRequestBody {
  readonly Driver?: string;
  readonly Count?: number;
  readonly DeviceIDs?: readonly string[];
  readonly Capabilities: readonly (readonly string[])[];
  readonly Options?: Readonly<Record<string, string>>;
}

export interface MountBody {
  readonly Type: string;
  readonly Source?: string;
  readonly Target: string;
  readonly ReadOnly?: boolean;
  readonly BindOptions?: {
    readonly Propagation?: string;
    readonly NonRecursive?: boolean;
    readonly CreateMountpoint?: boolean;
    readonly ReadOnlyNonRecursive?: boolean;
    readonly ReadOnlyForceRecursive?: boolean;
  };
  readonly VolumeOptions?: {
    readonly NoCopy?: boolean;
    readonly Subpath?: string;
    readonly Labels?: Readonly<Record<string, string>>;
  };
  readonly ImageOptions?: { readonly Subpath?: string };
  readonly TmpfsOptions?: { readonly SizeBytes?: number; readonly Mode?: number };
}
