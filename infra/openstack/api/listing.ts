import type { RequestOptions, ServiceName, Session } from "./session";

/** A page: the items below a key of their own, and where the next page is, if anywhere. */
type Page = Readonly<Record<string, unknown>>;

/** More pages than any project has; ends a service that names the same page for ever. */
const MAX_PAGES = 1000;

/**
 * Everything of a paged list.
 *
 * @param key property of each page that holds the items, for example `servers`
 */
export async function listAll<T>(
  session: Session,
  service: ServiceName,
  path: string,
  key: string,
  options: RequestOptions = {},
): Promise<T[]> {
  const items: T[] = [];
  let query = options.query;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const content = await session.request<Page>(service, "GET", path, {
      ...options,
      ...(query === undefined ? {} : { query }),
    });
    const found = (content[key] ?? []) as T[];
    items.push(...found);
    const next = nextQuery(content, key);
    if (next === undefined || found.length === 0) return items;
    query = next;
  }
  return items;
}

/**
 * The query of the next page. Only the query: behind a proxy the services name hosts and schemes that answer nobody. Nova,
 * neutron and cinder give `<key>_links`, glance `next`.
 */
function nextQuery(page: Page, key: string): Record<string, string> | undefined {
  const links = page[`${key}_links`] as readonly { rel: string; href: string }[] | undefined;
  const href = links?.find(({ rel }) => rel === "next")?.href ?? page["next"];
  if (typeof href !== "string") return undefined;
  return Object.fromEntries(new URL(href, "http://any").searchParams);
}
