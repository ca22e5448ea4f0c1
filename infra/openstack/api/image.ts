import { listAll } from "./listing";
import { isGone, type Session } from "./session";

export interface Image {
  readonly id: string;
  readonly name: string;
  /** `active`, `queued`, `saving`, `deactivated`, ... */
  readonly status: string;
  /** GiB a disk needs at least. */
  readonly min_disk: number;
  /** MiB of memory it needs at least. */
  readonly min_ram: number;
  /** Bytes; null while it is not there yet. */
  readonly size: number | null;
  /** Bytes when unpacked, where the site knows. */
  readonly virtual_size?: number | null;
}

/** Images of this name or id that the project sees; several may bear one name. */
export async function findImages(session: Session, nameOrId: string): Promise<Image[]> {
  const [named, byId] = await Promise.all([
    listAll<Image>(session, "image", "/images", "images", { query: { name: nameOrId } }),
    /^[0-9a-f-]{32,36}$/i.test(nameOrId) ? readImage(session, nameOrId) : undefined,
  ]);
  return byId === undefined ? named : [byId];
}

/** Names of all images, for "did you mean". */
export async function listImageNames(session: Session): Promise<string[]> {
  const images = await listAll<Image>(session, "image", "/images", "images", { query: { limit: 200 } });
  return images.map(({ name }) => name).filter((name) => name);
}

async function readImage(session: Session, id: string): Promise<Image | undefined> {
  try {
    return await session.request<Image>("image", "GET", `/images/${id}`);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}
