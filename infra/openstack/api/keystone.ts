import { type Problem, ProblemsError } from "../../../components/problems";
import { errorMessage, type ServiceName } from "./apiError";
import { type CloudAuth, type CloudConfig, entryPath } from "./cloudEntry";
import { type Answer, type Connections, NoAnswerError } from "./exchange";

/** A token and what keystone says about it. */
export interface Token {
  readonly value: string;
  readonly expiresAt: Date;
  readonly userId: string;
  readonly projectId: string;
  readonly projectName: string;
  readonly roles: readonly string[];
  readonly applicationCredentialId?: string;
  /** Base URL, with version, of each service of the region. */
  readonly endpoints: Readonly<Partial<Record<ServiceName, string>>>;
}

interface CatalogEntry {
  readonly type: string;
  readonly endpoints: readonly {
    readonly interface: string;
    readonly region?: string;
    readonly region_id?: string;
    readonly url: string;
  }[];
}

interface TokenBody {
  readonly token: {
    readonly expires_at: string;
    readonly user: { readonly id: string };
    readonly project?: { readonly id: string; readonly name: string };
    readonly roles?: readonly { readonly name: string }[];
    readonly application_credential?: { readonly id: string };
    readonly catalog?: readonly CatalogEntry[];
  };
}

/** Types of the catalog, the best first: https://service-types.openstack.org. */
const SERVICE_TYPES: Readonly<Record<ServiceName, readonly string[]>> = {
  identity: ["identity"],
  compute: ["compute"],
  network: ["network"],
  image: ["image"],
  volume: ["block-storage", "volumev3", "block-store", "volume"],
  reservation: ["reservation"],
};

/** Version that some sites' catalogs leave out of the URL. */
const VERSIONS: Readonly<Partial<Record<ServiceName, string>>> = {
  identity: "v3",
  network: "v2.0",
  image: "v2",
  reservation: "v1",
};

/** Logs in. @throws ProblemsError when the cloud does not answer or refuses the credentials */
export async function fetchToken(
  cloud: CloudConfig,
  connections: Connections,
  timeoutMs: number,
): Promise<Token> {
  let answer: Answer;
  try {
    answer = await connections.send({
      method: "POST",
      url: new URL(`${cloud.authUrl}/auth/tokens`),
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ auth: loginBody(cloud.auth) }),
      timeoutMs,
    });
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    throw new ProblemsError(`cloud "${cloud.name}"`, [unreachable(cloud, error)]);
  }
  if (answer.status !== 201) {
    throw new ProblemsError(`cloud "${cloud.name}"`, [refusal(cloud, answer)]);
  }
  return parseToken(cloud, answer);
}

function unreachable(cloud: CloudConfig, error: NoAnswerError): Problem {
  const tls = /CERT|SIGNED|ISSUER/.test(error.code);
  return {
    path: entryPath(cloud.name, "auth.auth_url"),
    value: cloud.authUrl,
    problem: `does not answer: ${error.message}`,
    next: tls
      ? `set ${entryPath(cloud.name, "cacert")} to the file with the certificate of the cloud's authority`
      : "check the address and the network (VPN, proxy, firewall)",
  };
}

function refusal(cloud: CloudConfig, answer: Answer): Problem {
  const reason = errorMessage(answer.body, answer.status);
  // 404 is a credential, user or project that was deleted; a wrong address gives 404 in other words.
  const ours =
    answer.status === 401 ||
    answer.status === 403 ||
    (answer.status === 404 && /^could not find/i.test(reason));
  return {
    path: entryPath(cloud.name, "auth"),
    problem: ours
      ? `is refused by ${cloud.authUrl}: ${reason}`
      : `cannot be checked, ${cloud.authUrl} answers with ${answer.status}: ${reason}`,
    next: ours
      ? "make a new application credential at the site's dashboard (it may have expired or be deleted) and put its clouds.yaml here"
      : "check auth_url, or wait until the site is well",
  };
}

/** The `auth` object of `POST /v3/auth/tokens`. Exported for tests. */
export function loginBody(auth: CloudAuth): object {
  switch (auth.kind) {
    case "applicationCredential":
      return {
        identity: {
          methods: ["application_credential"],
          application_credential: { id: auth.id, secret: auth.secret() },
        },
      };
    case "applicationCredentialName":
      return {
        identity: {
          methods: ["application_credential"],
          application_credential: { name: auth.name, secret: auth.secret(), user: auth.user },
        },
      };
    case "password":
      return {
        identity: {
          methods: ["password"],
          password: { user: { ...auth.user, password: auth.password() } },
        },
        scope: { project: auth.project },
      };
    case "token":
      return {
        identity: { methods: ["token"], token: { id: auth.token() } },
        scope: { project: auth.project },
      };
  }
}

function parseToken(cloud: CloudConfig, answer: Answer): Token {
  const { token } = JSON.parse(answer.body) as TokenBody;
  if (token.project === undefined) {
    throw new ProblemsError(`cloud "${cloud.name}"`, [
      {
        path: entryPath(cloud.name, "auth"),
        problem: "logs in without a project",
        next: `add ${entryPath(cloud.name, "auth.project_name")}`,
      },
    ]);
  }
  return {
    value: String(answer.headers["x-subject-token"]),
    expiresAt: new Date(token.expires_at),
    userId: token.user.id,
    projectId: token.project.id,
    projectName: token.project.name,
    roles: (token.roles ?? []).map(({ name }) => name),
    ...(token.application_credential === undefined
      ? {}
      : { applicationCredentialId: token.application_credential.id }),
    endpoints: endpointsOf(cloud, token.catalog ?? []),
  };
}

/** Picks the endpoint of each service. @throws ProblemsError when the region is not clear. Exported for tests. */
export function endpointsOf(cloud: CloudConfig, catalog: readonly CatalogEntry[]): Token["endpoints"] {
  const regions = [
    ...new Set(catalog.flatMap(({ endpoints }) => endpoints.map(regionOf)).filter((name) => name !== "")),
  ].sort();
  if (cloud.region === undefined ? regions.length > 1 : !regions.includes(cloud.region)) {
    throw new ProblemsError(`cloud "${cloud.name}"`, [
      {
        path: entryPath(cloud.name, "region_name"),
        value: cloud.region,
        problem:
          cloud.region === undefined ? "is missing, the cloud has several" : "is no region of this cloud",
        allowed: regions.join(", "),
        next: "set it to the region the environment shall be in",
      },
    ]);
  }
  const endpoints: Partial<Record<ServiceName, string>> = {};
  for (const [service, types] of Object.entries(SERVICE_TYPES) as [ServiceName, readonly string[]][]) {
    const url = types
      .flatMap((type) => catalog.filter((entry) => entry.type === type))
      .flatMap((entry) => entry.endpoints)
      .find(
        (endpoint) =>
          endpoint.interface === cloud.interface &&
          (cloud.region === undefined || regionOf(endpoint) === cloud.region),
      )?.url;
    if (url !== undefined) endpoints[service] = withVersion(service, url);
  }
  // The catalog of many sites gives identity without version, or an address only they can reach; we know one that answered.
  return { ...endpoints, identity: cloud.authUrl };
}

function regionOf(endpoint: { readonly region?: string; readonly region_id?: string }): string {
  return endpoint.region_id ?? endpoint.region ?? "";
}

function withVersion(service: ServiceName, url: string): string {
  const bare = url.replace(/\/+$/, "");
  const version = VERSIONS[service];
  return version === undefined || /\/v\d+(\.\d+)?$/.test(bare) ? bare : `${bare}/${version}`;
}
