import ipaddr from "ipaddr.js";

/** An IPv4 network as the scripts want it. */
export interface Subnet {
  /** Canonical CIDR, host bits zero: `10.87.0.0/24`. */
  readonly cidr: string;
  readonly prefix: number;
  /** The host's own address on the bridge: the first one, `10.87.0.1`. */
  readonly gateway: string;
}

/** @throws Error with the wrong value when it is no IPv4 CIDR with room for machines (/8 to /29) */
export function parseSubnet(cidr: string): Subnet {
  const [network, prefix] = parse(cidr);
  return { cidr: `${toText(network)}/${prefix}`, prefix, gateway: toText(network + 1) };
}

/** True when `address` can be a machine's: inside, not the network, not the gateway, not the broadcast address. */
export function isMachineAddress(cidr: string, address: string): boolean {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  const [network, prefix] = parse(cidr);
  const offset = toNumber(ipaddr.IPv4.parse(address)) - network;
  return offset >= 2 && offset < 2 ** (32 - prefix) - 1;
}

/** True when two IPv4 networks share an address. */
export function overlap(a: string, b: string): boolean {
  const [first, firstPrefix] = parse(a, 0, 32);
  const [second, secondPrefix] = parse(b, 0, 32);
  const size = 2 ** (32 - Math.min(firstPrefix, secondPrefix));
  return Math.floor(first / size) === Math.floor(second / size);
}

function parse(cidr: string, low = 8, high = 29): [network: number, prefix: number] {
  if (!ipaddr.IPv4.isValidCIDRFourPartDecimal(cidr)) {
    throw new Error(`${JSON.stringify(cidr)} is no IPv4 network; write it like 10.87.0.0/24.`);
  }
  const [address, prefix] = ipaddr.IPv4.parseCIDR(cidr);
  if (prefix < low || prefix > high) {
    throw new Error(`The network ${cidr} has the prefix /${prefix}; allowed are /${low} to /${high}.`);
  }
  const size = 2 ** (32 - prefix);
  return [Math.floor(toNumber(address) / size) * size, prefix];
}

function toNumber(address: ipaddr.IPv4): number {
  return address.octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

function toText(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
