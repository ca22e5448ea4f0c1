import { listAll } from "./listing";
import type { Session } from "./session";

export interface Volume {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  /** GiB. */
  readonly size: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Limits of the project and what is in use; -1 means unlimited. */
export interface VolumeLimits {
  readonly maxTotalVolumes: number;
  readonly totalVolumesUsed: number;
  readonly maxTotalVolumeGigabytes: number;
  readonly totalGigabytesUsed: number;
}

/** Volumes of the project; none where there is no volume service. */
export async function listVolumes(session: Session): Promise<Volume[]> {
  return session.offers("volume")
    ? await listAll<Volume>(session, "volume", "/volumes/detail", "volumes")
    : [];
}

export async function readVolumeLimits(session: Session): Promise<VolumeLimits> {
  const { limits } = await session.request<{ limits: { absolute: VolumeLimits } }>(
    "volume",
    "GET",
    "/limits",
  );
  return limits.absolute;
}
